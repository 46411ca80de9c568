//! An Avro schema of records (`.avsc`, JSON) as Arrow fields.
//! It must not know which of the fields are wanted.

use std::result;

use arrow::datatypes::{DataType, Field, TimeUnit};
use serde_json::Value;
use tickcast_stream::error::{Error, Kind, OrFail, Result};

/// The metadata of a field that says why its values cannot be read.
const UNREADABLE: &str = "unreadable";

/// The fields of a record schema, in order. Errors: `Config`, when it is no record schema.
///
/// Null, boolean, int, long, float, double, string, bytes, fixed, enum (as text), the logical types
/// timestamp-millis, timestamp-micros and date, and unions of one of these with null; any other
/// logical type is what it is made of. Fields of other types are there, and [`why_unreadable`].
pub fn parse(text: &str) -> Result<Vec<Field>> {
    let schema: Value = serde_json::from_str(text).or_fail(Kind::Config, || "the schema is not JSON")?;
    if schema["type"] != "record" {
        return Err(refuse("the schema is not an Avro record"));
    }
    let Some(fields) = schema["fields"].as_array() else {
        return Err(refuse("the schema has no list of fields"));
    };

    let mut parsed: Vec<Field> = Vec::with_capacity(fields.len());
    for (index, field) in fields.iter().enumerate() {
        let Some(name) = field["name"].as_str().filter(|name| !name.is_empty()) else {
            return Err(refuse(format!("field {} of the schema has no name", index + 1)));
        };
        if parsed.iter().any(|field| field.name() == name) {
            return Err(refuse(format!("the schema has two fields `{name}`")));
        }
        parsed.push(match field_type(&field["type"]) {
            Ok((data_type, nullable)) => Field::new(name, data_type, nullable),
            Err(why) => {
                Field::new(name, DataType::Null, true).with_metadata([(UNREADABLE.into(), why)].into())
            }
        });
    }
    Ok(parsed)
}

/// Why the values of a field cannot be read; none where they can.
pub(super) fn why_unreadable(field: &Field) -> Option<&str> {
    field.metadata().get(UNREADABLE).map(String::as_str)
}

fn refuse(what: impl Into<String>) -> Error {
    Error::new(Kind::Config, what)
}

/// The Arrow type of an Avro type, and whether it may be null; else why it has none.
fn field_type(avro: &Value) -> result::Result<(DataType, bool), String> {
    match avro {
        Value::String(name) => Ok((primitive(name)?, name == "null")),
        Value::Array(branches) => union(branches),
        Value::Object(object) => match (object.get("type"), object.get("logicalType")) {
            (Some(Value::String(base)), Some(logical)) => {
                let logical = logical_type(base, logical.as_str().unwrap_or_default());
                Ok((logical.map_or_else(|| primitive(base), Ok)?, base == "null"))
            }
            (Some(Value::String(name)), None) => field_type(&Value::String(name.clone())),
            (Some(inner @ (Value::Object(_) | Value::Array(_))), None) => field_type(inner),
            _ => Err("its type cannot be read".into()),
        },
        Value::Null => Err("it has no type".into()),
        _ => Err("its type cannot be read".into()),
    }
}

fn union(branches: &[Value]) -> result::Result<(DataType, bool), String> {
    let mut rest = branches.iter().filter(|branch| *branch != "null");
    let Some(only) = rest.next() else {
        return if branches.is_empty() { Err("an empty union".into()) } else { Ok((DataType::Null, true)) };
    };
    if rest.next().is_some() {
        return Err("unions of several types are not supported, only of one type with null".into());
    }
    let (data_type, nullable) = field_type(only)?;
    Ok((data_type, nullable || branches.len() > 1))
}

fn primitive(name: &str) -> result::Result<DataType, String> {
    Ok(match name {
        "null" => DataType::Null,
        "boolean" => DataType::Boolean,
        "int" => DataType::Int32,
        "long" => DataType::Int64,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "string" | "enum" => DataType::Utf8,
        "bytes" | "fixed" => DataType::Binary,
        "record" | "array" | "map" => return Err(format!("nested types ({name}) are not supported")),
        other => return Err(format!("the type `{other}` is not supported")),
    })
}

/// None: it is read as its base, as the specification of Avro has it.
fn logical_type(base: &str, logical: &str) -> Option<DataType> {
    let utc = || Some("UTC".into());
    match (base, logical) {
        ("long", "timestamp-millis") => Some(DataType::Timestamp(TimeUnit::Millisecond, utc())),
        ("long", "timestamp-micros") => Some(DataType::Timestamp(TimeUnit::Microsecond, utc())),
        ("int", "date") => Some(DataType::Date32),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field_of(avro: &str) -> Result<Field> {
        parse(&format!(r#"{{"type": "record", "name": "R", "fields": [{{"name": "x", "type": {avro}}}]}}"#))
            .map(|mut fields| fields.remove(0))
    }

    #[test]
    fn types_unions_and_logical_types() {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let millis = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        for (avro, data_type, nullable) in [
            (r#""double""#, DataType::Float64, false),
            (r#"["null", "float"]"#, DataType::Float32, true),
            (r#"["int", "null"]"#, DataType::Int32, true),
            (r#"{"type": "string"}"#, DataType::Utf8, false),
            (r#"{"type": "enum", "name": "Side", "symbols": ["BUY", "SELL"]}"#, DataType::Utf8, false),
            (r#"{"type": "long", "logicalType": "timestamp-micros"}"#, micros, false),
            (r#"["null", {"type": "long", "logicalType": "timestamp-millis"}]"#, millis, true),
            (r#"{"type": "int", "logicalType": "date"}"#, DataType::Date32, false),
            (r#""null""#, DataType::Null, true),
            (r#"{"type": "string", "logicalType": "uuid"}"#, DataType::Utf8, false),
            (r#"["null", {"type": "int", "logicalType": "time-millis"}]"#, DataType::Int32, true),
            (r#"{"type": "bytes", "logicalType": "decimal", "precision": 9}"#, DataType::Binary, false),
            (
                r#"{"type": "fixed", "name": "F", "size": 12, "logicalType": "duration"}"#,
                DataType::Binary,
                false,
            ),
        ] {
            assert_eq!(field_of(avro).unwrap(), Field::new("x", data_type, nullable), "{avro}");
        }
    }

    #[test]
    fn what_is_not_supported_is_said_of_the_field() {
        for (avro, why) in [
            (r#"{"type": "array", "items": "int"}"#, "nested types (array) are not supported"),
            (r#"["null", {"type": "map", "values": "int"}]"#, "nested types (map) are not supported"),
            (r#"{"type": "record", "name": "S", "fields": []}"#, "nested types (record) are not supported"),
            (
                r#"["null", "int", "string"]"#,
                "unions of several types are not supported, only of one type with null",
            ),
            (
                r#"{"type": "array", "items": "int", "logicalType": "path"}"#,
                "nested types (array) are not supported",
            ),
            (r#""Side""#, "the type `Side` is not supported"),
            ("[]", "an empty union"),
            ("7", "its type cannot be read"),
        ] {
            assert_eq!(why_unreadable(&field_of(avro).unwrap()), Some(why));
        }
        assert_eq!(parse("[]").unwrap_err().to_string(), "pipeline: the schema is not an Avro record");
        assert!(parse("{").unwrap_err().to_string().starts_with("pipeline: the schema is not JSON: "));
    }

    #[test]
    fn the_schemas_of_the_repository_are_read() {
        for name in ["observation", "stock"] {
            let path = format!("{}/../../schemas/{name}.avsc", env!("CARGO_MANIFEST_DIR"));
            assert!(parse(&std::fs::read_to_string(path).unwrap()).unwrap().len() > 5);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}", json in "[\\[\\]{}\":,a-z]{0,60}") {
            let _ = parse(&text);
            let _ = field_of(&json);
        }
    }
}
