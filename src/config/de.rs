//! Serde's view of the tree: deserialises any type from it, and finds every structural fault, not
//! just the first.
//! It must not know which type it fills.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{self, DeserializeOwned, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::fault::{Fault, choice, quoted};
use super::tree::{Node, Value};

/// A file with more faults than this was not meant as a pipeline.
const FAULTS_MAX: usize = 100;

/// Deserialises, and on a fault leaves the faulty node out and tries again, so that all faults are
/// found. Nodes that are in `faults` already are left out too. `None`: not even the rest is a `T`.
pub(super) fn decode<T: DeserializeOwned>(root: &Node, faults: &mut Vec<Fault>) -> Option<T> {
    let mut skip: BTreeSet<String> = faults.iter().map(|fault| fault.path.clone()).collect();
    while faults.len() < FAULTS_MAX {
        match T::deserialize(De { node: root, skip: &skip }) {
            Ok(value) => return Some(value),
            Err(Wrong::Placed(fault)) => {
                let is_new = skip.insert(fault.path.clone()) && !fault.path.is_empty();
                faults.push(fault);
                if !is_new {
                    return None;
                }
            }
            Err(Wrong::Type(_) | Wrong::Message(..)) => unreachable!("every error passes De::place"),
        }
    }
    None
}

/// An error on its way from a visitor to the node that knows its place.
#[derive(Debug)]
enum Wrong {
    /// What the visitor wanted; the node adds what it is instead, unless that is a secret.
    Type(String),
    Message(String, Option<String>),
    Placed(Fault),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Wrong {}

/// Keys of older versions, and what is there in their place.
const GONE: [(&str, &str); 1] = [(
    "snapshot_every",
    "recover_within is in its place: how long making the state again may take after a crash",
)];

impl de::Error for Wrong {
    /// A second line is the help.
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        match message.split_once('\n') {
            Some((message, help)) => Wrong::Message(message.to_string(), Some(help.to_string())),
            None => Wrong::Message(message, None),
        }
    }

    fn invalid_type(_: Unexpected, expected: &dyn Expected) -> Self {
        Wrong::Type(friendly(&expected.to_string()))
    }

    fn invalid_value(_: Unexpected, expected: &dyn Expected) -> Self {
        Wrong::Type(friendly(&expected.to_string()))
    }

    fn unknown_variant(word: &str, expected: &'static [&'static str]) -> Self {
        let (near, _) = choice(word, expected);
        Wrong::Message(
            format!("unknown word {}{near}", quoted(word)),
            Some(format!("one of {}", expected.join(", "))),
        )
    }

    fn unknown_field(key: &str, expected: &'static [&'static str]) -> Self {
        if let Some((_, instead)) = GONE.iter().find(|(gone, _)| *gone == key) {
            return Wrong::Message("unknown key".to_owned(), Some((*instead).to_owned()));
        }
        let (near, help) = choice(key, expected);
        Wrong::Message(format!("unknown key{near}"), help)
    }
}

/// Serde speaks of Rust types; people do not.
fn friendly(expected: &str) -> String {
    match expected {
        "i64" | "u64" | "u32" | "i32" | "usize" => "a whole number",
        "f64" => "a number",
        "a string" => "text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a block of keys",
        other if other.starts_with("struct ") => "a block of keys",
        other => other,
    }
    .to_string()
}

#[derive(Clone, Copy)]
struct De<'de> {
    node: &'de Node,
    skip: &'de BTreeSet<String>,
}

impl<'de> De<'de> {
    fn place(self, wrong: Wrong) -> Wrong {
        let (message, help) = match wrong {
            Wrong::Placed(_) => return wrong,
            Wrong::Message(message, help) => (message, help),
            Wrong::Type(wanted) if self.node.is_secret() => (format!("needs {wanted}"), None),
            Wrong::Type(wanted) => (format!("needs {wanted}, not {}", self.describe()), None),
        };
        Wrong::Placed(self.node.place.fault(message, help))
    }

    fn describe(self) -> String {
        match &self.node.value {
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a block of keys".into(),
            Value::Scalar { text, plain } => match Typed::of(text, *plain) {
                Typed::Null => "nothing".into(),
                Typed::Text => quoted(text),
                Typed::Bool(_) | Typed::Int(_) | Typed::Float(_) => text.clone(),
            },
        }
    }

    fn any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let kept = |node: &&Node| !self.skip.contains(&node.place.path);
        let de = |node| De { node, ..self };
        match &self.node.value {
            Value::List(items) => visitor.visit_seq(SeqDeserializer::new(items.iter().filter(kept).map(de))),
            Value::Map(entries) => {
                let entries = entries.iter().filter(|(_, value)| kept(&value));
                visitor.visit_map(MapDeserializer::new(
                    entries.map(|(key, value)| (KeyDe { key, value: de(value) }, de(value))),
                ))
            }
            Value::Scalar { text, plain } => match Typed::of(text, *plain) {
                Typed::Null => visitor.visit_unit(),
                Typed::Bool(value) => visitor.visit_bool(value),
                Typed::Int(value) => visitor.visit_i64(value),
                Typed::Float(value) => visitor.visit_f64(value),
                Typed::Text => visitor.visit_borrowed_str(text),
            },
        }
    }

    fn text(self) -> Option<&'de str> {
        match &self.node.value {
            Value::Scalar { text, plain } if Typed::of(text, *plain) != Typed::Null => Some(text),
            _ => None,
        }
    }
}

impl<'de> de::Deserializer<'de> for De<'de> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.any(visitor).map_err(|wrong| self.place(wrong))
    }

    /// Where text is wanted, `1.10` and `true` are text as they stand: versions, keys and
    /// passwords.
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.text() {
            Some(text) => visitor.visit_borrowed_str(text).map_err(|wrong| self.place(wrong)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.node.value {
            Value::Scalar { text, plain } if Typed::of(text, *plain) == Typed::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let outcome = match self.text() {
            Some(word) => visitor.visit_enum(StrDeserializer::new(word)),
            None => Err(Wrong::Type(format!("one of {}", words.join(", ")))),
        };
        outcome.map_err(|wrong| self.place(wrong))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Wrong> for De<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A key, which stands where its value's node stands.
struct KeyDe<'de> {
    key: &'de str,
    value: De<'de>,
}

impl<'de> de::Deserializer<'de> for KeyDe<'de> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_borrowed_str(self.key).map_err(|wrong| self.value.place(wrong))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Wrong> for KeyDe<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A scalar by YAML 1.2's core schema.
#[derive(Debug, PartialEq)]
enum Typed {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text,
}

impl Typed {
    fn of(text: &str, plain: bool) -> Typed {
        match text {
            _ if !plain => Typed::Text,
            "" | "~" | "null" | "Null" | "NULL" => Typed::Null,
            "true" | "True" | "TRUE" => Typed::Bool(true),
            "false" | "False" | "FALSE" => Typed::Bool(false),
            ".inf" | "+.inf" => Typed::Float(f64::INFINITY),
            "-.inf" => Typed::Float(f64::NEG_INFINITY),
            ".nan" => Typed::Float(f64::NAN),
            _ => match (text.parse(), text.parse()) {
                (Ok(int), _) => Typed::Int(int),
                // Rust takes `inf` and `nan` too, YAML does not.
                (_, Ok(float)) if text.contains(|c: char| c.is_ascii_digit()) => Typed::Float(float),
                _ => Typed::Text,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree;
    use super::*;

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        count: Option<i64>,
        list: Option<Vec<i64>>,
        version: Option<String>,
        rate: Option<f64>,
    }

    fn sample(text: &str) -> (Sample, Vec<String>) {
        let mut faults = Vec::new();
        let root = tree::read(text, &mut faults).map_err(|fault| fault.message).unwrap();
        let sample = decode(&root, &mut faults).unwrap();
        (sample, faults.iter().map(|fault| fault.to_string()).collect())
    }

    #[test]
    fn all_faults_are_found_and_the_rest_is_kept() {
        let (sample, faults) = sample("count: many\nlist: [1, x, 2, {}]\nversion: 1.10\nrat: 2\n");
        assert_eq!((sample.list.unwrap(), sample.version.unwrap()), (vec![1, 2], "1.10".into()));
        assert_eq!(
            faults,
            [
                r#":1:1: count: needs a whole number, not "many""#,
                ":2:11: list[1]: needs a whole number, not \"x\"",
                ":2:17: list[3]: needs a whole number, not a block of keys",
                r#":4:1: rat: unknown key; did you mean "rate"?"#,
            ]
        );
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        let (sample, faults) = sample("count: null\nrate: 3e-4\nversion: ~\nlist:\n");
        assert!(sample.count.is_none() && sample.version.is_none() && sample.list.is_none());
        assert_eq!((sample.rate, faults.len()), (Some(3e-4), 0));
        assert_eq!(Typed::of("inf", true), Typed::Text);
        assert_eq!(Typed::of("7", false), Typed::Text);
    }
}
