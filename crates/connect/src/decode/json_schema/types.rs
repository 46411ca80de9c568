//! What a subschema says of a value: its type, or several that are put together.
//! It must not know Arrow.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The type of values.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum JsonType {
    /// Nothing is said.
    Any,
    /// Only null.
    Null,
    Boolean,
    Integer,
    Number,
    Text,
    /// A text that is a time.
    Time,
    /// A text that is a day.
    Day,
    List(Box<Shaped>),
    /// Its fields.
    Object(BTreeMap<String, Shaped>),
    /// Any names, all with values of one kind.
    Map(Box<Shaped>),
    /// Its values cannot be read, and why.
    Unreadable(String),
}

/// A type, and whether null is among its values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shaped {
    pub(super) of: JsonType,
    pub(super) is_nullable: bool,
}

impl Shaped {
    pub(super) fn new(of: JsonType) -> Self {
        Shaped { is_nullable: matches!(of, JsonType::Null | JsonType::Any), of }
    }

    pub(super) fn unreadable(why: impl Into<String>) -> Self {
        Shaped::new(JsonType::Unreadable(why.into()))
    }

    /// What holds where both do.
    pub(super) fn and(self, other: Self) -> Self {
        let is_nullable = self.is_nullable && other.is_nullable;
        Shaped { of: self.of.and(other.of), is_nullable }
    }

    /// What holds where one of them does.
    pub(super) fn or(self, other: Self) -> Self {
        let is_nullable = self.is_nullable || other.is_nullable;
        Shaped { of: self.of.or(other.of), is_nullable }
    }
}

impl JsonType {
    fn and(self, other: Self) -> Self {
        use JsonType::{Any, Day, Integer, List, Map, Number, Object, Text, Time, Unreadable};
        match (self, other) {
            (Any, of) | (of, Any) => of,
            (of @ Unreadable(_), _) | (_, of @ Unreadable(_)) => of,
            (Integer, Number) | (Number, Integer) => Integer,
            (of @ (Time | Day), Text) | (Text, of @ (Time | Day)) => of,
            (Object(fields), Object(others)) => Object(joined(fields, others, Shaped::and)),

            // A type without fields is a map of anything.
            (of @ Object(_), Map(values)) | (Map(values), of @ Object(_)) if values.of == Any => of,
            (Object(fields), Map(values)) | (Map(values), Object(fields)) => {
                if fields.is_empty() {
                    Map(values)
                } else {
                    Object(fields)
                }
            }
            (Map(one), Map(other)) => Map(Box::new(one.and(*other))),
            (List(one), List(other)) => List(Box::new(one.and(*other))),
            (one, other) if one == other => one,
            (one, other) => {
                let what = format!("the schema contradicts itself: {} and {}", one.word(), other.word());
                Unreadable(what)
            }
        }
    }

    /// Of types that have nothing in common the first.
    fn or(self, other: Self) -> Self {
        use JsonType::{Integer, List, Map, Null, Number, Object};
        match (self, other) {
            (Null, of) | (of, Null) => of,
            (Integer, Number) | (Number, Integer) => Number,
            (Object(fields), Object(others)) => Object(joined(fields, others, Shaped::or)),
            (Map(one), Map(other)) => Map(Box::new(one.or(*other))),
            (List(one), List(other)) => List(Box::new(one.or(*other))),
            (first, _) => first,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            JsonType::Any => "anything",
            JsonType::Null => "null",
            JsonType::Boolean => "a truth value",
            JsonType::Integer => "an integer",
            JsonType::Number => "a number",
            JsonType::Text => "text",
            JsonType::Time => "a time",
            JsonType::Day => "a day",
            JsonType::List(_) => "a list",
            JsonType::Object(_) | JsonType::Map(_) => "an object",
            JsonType::Unreadable(_) => "unreadable",
        }
    }
}

/// The fields of two objects; `both`: those that both have.
fn joined(
    mut fields: BTreeMap<String, Shaped>,
    others: BTreeMap<String, Shaped>,
    both: fn(Shaped, Shaped) -> Shaped,
) -> BTreeMap<String, Shaped> {
    for (name, other) in others {
        match fields.entry(name) {
            Entry::Vacant(free) => _ = free.insert(other),
            Entry::Occupied(mut taken) => {
                let one = std::mem::replace(taken.get_mut(), Shaped::new(JsonType::Any));
                taken.insert(both(one, other));
            }
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_hold_together_are_the_narrower_and_a_contradiction_is_told() {
        use JsonType::{Any, Boolean, Integer, Number, Text, Time, Unreadable};
        let both = |one: JsonType, other: JsonType| Shaped::new(one).and(Shaped::new(other)).of;
        assert_eq!(both(Any, Text), Text);
        assert_eq!(both(Number, Integer), Integer);
        assert_eq!(both(Text, Time), Time);
        let why = "the schema contradicts itself: text and a truth value".to_owned();
        assert_eq!(both(Text, Boolean), Unreadable(why));
    }

    #[test]
    fn of_types_that_may_each_be_null_is_none_and_numbers_are_the_wider() {
        use JsonType::{Boolean, Integer, Null, Number, Text};
        let either = |one: JsonType, other: JsonType| Shaped::new(one).or(Shaped::new(other));
        assert_eq!(either(Null, Text), Shaped { of: Text, is_nullable: true });
        assert_eq!(either(Integer, Number), Shaped { of: Number, is_nullable: false });
        assert_eq!(either(Boolean, Text).of, Boolean);
    }
}
