//! The fields of a JSON Schema as Arrow fields: what columns there are, and of which types.
//! It must not read data.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use serde_json::{Map, Value};
use tickcast_stream::error::{Error, Kind, Result};

use super::documents::{Documents, Place, parsed};
use super::types::{JsonType, Shaped};
use crate::decode::unreadable::field_of_type;
use crate::decode::writer_schemas::SchemaText;

/// Objects and lists are followed so deep.
const DEPTH_MAX: usize = 16;
/// So many subschemas are looked at: references can make a small schema a large one.
const SUBSCHEMAS_MAX: usize = 50_000;
/// The metadata of a time that is a text, and counts nothing where it is a number.
const TEXT: &str = "written_as_text";
/// Keys of a JSON Schema that no Avro schema has.
const OWN_KEYS: [&str; 9] =
    ["$schema", "$id", "$ref", "$defs", "definitions", "properties", "allOf", "anyOf", "oneOf"];

/// Whether a text is a JSON Schema rather than an Avro schema.
pub(in crate::decode) fn is_json_schema(text: &str) -> bool {
    let Ok(Value::Object(keys)) = serde_json::from_str(text) else { return false };
    let is_object = keys.get("type").is_some_and(|of| of == "object" || of.is_array());
    is_object || OWN_KEYS.iter().any(|key| keys.contains_key(*key))
}

/// Whether the values of a field are texts, though it is a time.
pub(in crate::decode) fn is_written_as_text(field: &Field) -> bool {
    field.metadata().contains_key(TEXT)
}

/// The fields of a schema of objects, by name. Errors: `Config`, when it is none, contradicts
/// itself or is too large.
///
/// Of a field whose type is not said, that contradicts itself or holds itself is noted that it
/// cannot be read, and why.
pub(in crate::decode) fn fields_of(schema: &SchemaText) -> Result<Vec<Field>> {
    let root = parsed(&schema.text)?;
    let others = schema.references.iter().map(|(name, text)| Ok((name.clone(), parsed(text)?)));
    let others = others.collect::<Result<Vec<_>>>()?;
    let documents = Documents::new(&root, &others)?;
    let mut reader = Reader { documents: &documents, within: Vec::new(), looked_at: 0 };
    let refuse = |what: &str| Err(Error::new(Kind::Config, what));

    let Some(place) = documents.root() else { return refuse("the schema is empty") };
    match reader.shaped(place, 0)?.of {
        JsonType::Object(fields) => Ok(fields.iter().map(|(name, shaped)| named(name, shaped)).collect()),
        JsonType::Unreadable(why) => refuse(&format!("the schema cannot be used: {why}")),
        _ => refuse("the schema is not of objects"),
    }
}

/// Reads subschemas.
struct Reader<'d, 's> {
    documents: &'d Documents<'s>,
    /// What references have led to, on the way to what is read now.
    within: Vec<&'s Value>,
    looked_at: usize,
}

impl<'s> Reader<'_, 's> {
    /// What a subschema says of its values.
    fn shaped(&mut self, place: Place<'s>, depth: usize) -> Result<Shaped> {
        self.looked_at += 1;
        if self.looked_at > SUBSCHEMAS_MAX {
            let what = format!(
                "the schema is of more than {SUBSCHEMAS_MAX} parts, once all references are followed"
            );
            return Err(Error::new(Kind::Config, what));
        }
        let keys = match place.schema {
            Value::Object(keys) => keys,
            Value::Bool(true) => return Ok(Shaped::new(JsonType::Any)),
            Value::Bool(false) => return Ok(Shaped::unreadable("the schema allows no value of it")),
            other => {
                return Ok(Shaped::unreadable(format!("the schema has {other} where a schema is needed")));
            }
        };
        if depth > DEPTH_MAX {
            return Ok(Shaped::unreadable("it is nested too deep"));
        }

        let mut found = self.own(keys, place, depth)?;
        for key in ["$ref", "$dynamicRef", "$recursiveRef"] {
            if let Some(reference) = keys.get(key).and_then(Value::as_str) {
                found = found.and(self.referred(reference, place, depth)?);
            }
        }

        for part in list(keys, "allOf") {
            found = found.and(self.shaped(place.within(part), depth)?);
        }
        for key in ["anyOf", "oneOf"] {
            let mut either: Option<Shaped> = None;
            for part in list(keys, key) {
                let part = self.shaped(place.within(part), depth)?;
                either = Some(match either {
                    Some(before) => before.or(part),
                    None => part,
                });
            }
            found = either.into_iter().fold(found, Shaped::and);
        }

        // Of OpenAPI.
        found.is_nullable |= keys.get("nullable") == Some(&Value::Bool(true));
        Ok(found)
    }

    fn referred(&mut self, reference: &str, place: Place<'s>, depth: usize) -> Result<Shaped> {
        let Some(target) = self.documents.resolve(reference, place) else {
            return Ok(Shaped::unreadable(format!("it refers to `{reference}`, which is not there")));
        };
        if self.within.iter().any(|around| std::ptr::eq(*around, target.schema)) {
            return Ok(Shaped::unreadable(format!("it holds itself, by `{reference}`")));
        }

        self.within.push(target.schema);
        let found = self.shaped(target, depth);
        self.within.pop();
        found
    }

    /// What it says by its own keys.
    fn own(&mut self, keys: &'s Map<String, Value>, place: Place<'s>, depth: usize) -> Result<Shaped> {
        let words: Vec<&str> = match keys.get("type") {
            Some(Value::String(word)) => vec![word],
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };

        let mut found: Option<Shaped> = None;
        for word in words {
            let one = self.of_word(word, keys, place, depth)?;
            found = Some(match found {
                Some(before) => before.or(one),
                None => one,
            });
        }
        if let Some(found) = found {
            return Ok(found);
        }

        let has = |names: &[&str]| names.iter().any(|name| keys.contains_key(*name));
        if has(&["properties", "patternProperties"]) {
            return self.of_word("object", keys, place, depth);
        }

        if has(&["items", "prefixItems"]) {
            return self.of_word("array", keys, place, depth);
        }
        let values = list(keys, "enum").iter().chain(keys.get("const")).map(of_value);
        Ok(values.reduce(Shaped::or).unwrap_or_else(|| Shaped::new(JsonType::Any)))
    }

    fn of_word(
        &mut self,
        word: &str,
        keys: &'s Map<String, Value>,
        place: Place<'s>,
        depth: usize,
    ) -> Result<Shaped> {
        Ok(Shaped::new(match word {
            "null" => JsonType::Null,
            "boolean" => JsonType::Boolean,
            "integer" => JsonType::Integer,
            "number" => JsonType::Number,

            "string" => match keys.get("format").and_then(Value::as_str) {
                Some("date-time") => JsonType::Time,
                Some("date") => JsonType::Day,
                _ => JsonType::Text,
            },
            "array" => match keys.get("items").or_else(|| list(keys, "prefixItems").first()) {
                Some(Value::Array(items)) => self.list_of(items.first(), place, depth)?,
                items => self.list_of(items, place, depth)?,
            },
            "object" => self.object(keys, place, depth)?,
            other => JsonType::Unreadable(format!("the schema has the type `{other}`, which JSON has not")),
        }))
    }

    fn list_of(&mut self, items: Option<&'s Value>, place: Place<'s>, depth: usize) -> Result<JsonType> {
        let of = match items {
            Some(items) => self.shaped(place.within(items), depth + 1)?,
            None => Shaped::new(JsonType::Any),
        };
        Ok(JsonType::List(Box::new(of)))
    }

    fn object(&mut self, keys: &'s Map<String, Value>, place: Place<'s>, depth: usize) -> Result<JsonType> {
        let mut fields = BTreeMap::new();
        if let Some(Value::Object(properties)) = keys.get("properties") {
            for (name, of) in properties {
                fields.insert(name.clone(), self.shaped(place.within(of), depth + 1)?);
            }
        }
        if !fields.is_empty() {
            return Ok(JsonType::Object(fields));
        }

        let patterns = keys.get("patternProperties").and_then(Value::as_object);
        let more = keys.get("additionalProperties").filter(|more| more.is_object());
        let mut values: Option<Shaped> = None;
        for of in patterns.into_iter().flat_map(Map::values).chain(more) {
            let one = self.shaped(place.within(of), depth + 1)?;
            values = Some(match values {
                Some(before) => before.or(one),
                None => one,
            });
        }
        Ok(match values {
            Some(values) => JsonType::Map(Box::new(values)),
            None => JsonType::Object(fields),
        })
    }
}

/// The parts of a list of subschemas or values; none where there is none.
fn list<'s>(keys: &'s Map<String, Value>, key: &str) -> &'s [Value] {
    keys.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The type of a value that may stand there.
fn of_value(value: &Value) -> Shaped {
    Shaped::new(match value {
        Value::Null => JsonType::Null,
        Value::Bool(_) => JsonType::Boolean,
        Value::Number(number) if number.is_f64() => JsonType::Number,
        Value::Number(_) => JsonType::Integer,
        Value::String(_) => JsonType::Text,
        Value::Array(_) => JsonType::List(Box::new(Shaped::new(JsonType::Any))),
        Value::Object(_) => JsonType::Object(BTreeMap::new()),
    })
}

fn named(name: &str, shaped: &Shaped) -> Field {
    let of = type_of(&shaped.of).map(|of| (of, shaped.is_nullable));
    let field = field_of_type(name, of);
    match shaped.of {
        JsonType::Time | JsonType::Day => field.with_metadata([(TEXT.to_owned(), String::new())].into()),
        _ => field,
    }
}

/// The Arrow type of a type. Errors: why there is none.
fn type_of(of: &JsonType) -> std::result::Result<DataType, String> {
    Ok(match of {
        JsonType::Any => return Err("the schema says no type of it".to_owned()),
        JsonType::Unreadable(why) => return Err(why.clone()),
        JsonType::Null => DataType::Null,
        JsonType::Boolean => DataType::Boolean,
        JsonType::Integer => DataType::Int64,
        JsonType::Number => DataType::Float64,
        JsonType::Text => DataType::Utf8,
        JsonType::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        JsonType::Day => DataType::Date32,

        JsonType::List(items) => DataType::List(Arc::new(named("item", items))),
        JsonType::Object(fields) => DataType::Struct(
            fields.iter().map(|(name, shaped)| named(name, shaped)).collect::<Vec<_>>().into(),
        ),
        JsonType::Map(values) => {
            let entry = vec![Field::new("key", DataType::Utf8, false), named("value", values)];
            let entries = Field::new("entries", DataType::Struct(entry.into()), false);
            DataType::Map(Arc::new(entries), false)
        }
    })
}

#[cfg(test)]
#[path = "columns_tests.rs"]
mod tests;
