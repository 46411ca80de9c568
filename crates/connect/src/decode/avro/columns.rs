//! The fields of an Avro schema as Arrow fields: what columns there are, and of which types.
//! It must not read data.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use tickcast_stream::error::Result;

use super::schema::{AvroKind, AvroSchema, Logical, TypeId};
use crate::decode::unreadable::field_of_type;

/// A type that holds itself is followed so deep.
const MAX_DEPTH: usize = 8;

/// The fields of a record schema, in order. Errors: `Config`, when it is no record schema.
///
/// Records are objects and arrays lists; enums are text, decimals floats, and a union of several
/// types is of the first that is not null: what is of another and cannot be read as that is null.
pub(in crate::decode) fn fields_of(schema: &AvroSchema) -> Result<Vec<Field>> {
    let fields = schema.fields()?.iter().map(|field| named(schema, &field.name, field.of, 0));
    Ok(fields.collect())
}

fn named(schema: &AvroSchema, name: &str, of: TypeId, depth: usize) -> Field {
    field_of_type(name, type_of(schema, of, depth))
}

/// The Arrow type of a type, and whether it may be null.
fn type_of(schema: &AvroSchema, of: TypeId, depth: usize) -> std::result::Result<(DataType, bool), String> {
    if depth > MAX_DEPTH {
        return Err("it is nested too deep".to_owned());
    }

    let avro = schema.of(of);
    if let Some(logical) = avro.logical {
        return Ok((logical_type(logical), false));
    }

    let data_type = match &avro.kind {
        AvroKind::Null => return Ok((DataType::Null, true)),
        AvroKind::Boolean => DataType::Boolean,
        AvroKind::Int => DataType::Int32,
        AvroKind::Long => DataType::Int64,
        AvroKind::Float => DataType::Float32,
        AvroKind::Double => DataType::Float64,
        AvroKind::String | AvroKind::Enum(_) => DataType::Utf8,
        AvroKind::Bytes | AvroKind::Fixed(_) => DataType::Binary,
        AvroKind::Map(values) => {
            let entry =
                [Field::new("key", DataType::Utf8, false), named(schema, "value", *values, depth + 1)];
            DataType::Map(
                Arc::new(Field::new("entries", DataType::Struct(entry.to_vec().into()), false)),
                false,
            )
        }
        AvroKind::Array(items) => DataType::List(Arc::new(named(schema, "item", *items, depth + 1))),
        AvroKind::Record(fields) => {
            let fields = fields.iter().map(|field| named(schema, &field.name, field.of, depth + 1));
            DataType::Struct(fields.collect::<Vec<_>>().into())
        }
        AvroKind::Union(branches) => {
            let is_null = |of: &&TypeId| schema.of(**of).kind == AvroKind::Null;
            let nullable = branches.iter().any(|of| is_null(&of));
            return match branches.iter().find(|of| !is_null(of)) {
                Some(first) => type_of(schema, *first, depth + 1).map(|(of, inner)| (of, inner || nullable)),
                None => Ok((DataType::Null, true)),
            };
        }
    };
    Ok((data_type, false))
}

fn logical_type(logical: Logical) -> DataType {
    let utc = || Some("UTC".into());
    match logical {
        Logical::Date => DataType::Date32,
        Logical::Timestamp { a_second: 1_000, .. } => DataType::Timestamp(TimeUnit::Millisecond, utc()),
        Logical::Timestamp { a_second: 1_000_000, .. } => DataType::Timestamp(TimeUnit::Microsecond, utc()),
        Logical::Timestamp { .. } => DataType::Timestamp(TimeUnit::Nanosecond, utc()),
        Logical::Decimal { .. } => DataType::Float64,
        Logical::Uuid => DataType::Utf8,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decode::unreadable::why_unreadable;

    fn avro_fields(text: &str) -> Result<Vec<Field>> {
        fields_of(&AvroSchema::parse(text)?)
    }

    fn field_of(avro: &str) -> Result<Field> {
        avro_fields(&format!(
            r#"{{"type": "record", "name": "R", "fields": [{{"name": "x", "type": {avro}}}]}}"#
        ))
        .map(|mut fields| fields.remove(0))
    }

    #[test]
    fn types_unions_and_logical_types() {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let millis = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let nanos = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        for (avro, data_type, nullable) in [
            (r#""double""#, DataType::Float64, false),
            (r#"["null", "float"]"#, DataType::Float32, true),
            (r#"["int", "null"]"#, DataType::Int32, true),
            (r#"["null", "int", "string"]"#, DataType::Int32, true),
            (r#"{"type": "string"}"#, DataType::Utf8, false),
            (r#"{"type": "enum", "name": "Side", "symbols": ["BUY", "SELL"]}"#, DataType::Utf8, false),
            (r#"{"type": "long", "logicalType": "timestamp-micros"}"#, micros, false),
            (r#"{"type": "long", "logicalType": "local-timestamp-nanos"}"#, nanos, false),
            (r#"["null", {"type": "long", "logicalType": "timestamp-millis"}]"#, millis, true),
            (r#"{"type": "int", "logicalType": "date"}"#, DataType::Date32, false),
            (r#""null""#, DataType::Null, true),
            (r#"{"type": "string", "logicalType": "uuid"}"#, DataType::Utf8, false),
            (r#"["null", {"type": "int", "logicalType": "time-millis"}]"#, DataType::Int32, true),
            (r#"{"type": "int", "logicalType": "celsius"}"#, DataType::Int32, false),
            (
                r#"{"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}"#,
                DataType::Float64,
                false,
            ),
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
    fn what_has_no_column_of_its_own_is_said_of_the_field() {
        for (avro, why) in [
            (r#"{"type": "array", "items": "int"}"#, "it is a list: take it apart by source.unnest"),
            (r#"["null", {"type": "map", "values": "int"}]"#, "it is a map: name a value of it by its path"),
            (
                r#"{"type": "record", "name": "S", "fields": []}"#,
                "it is an object: name a field of it by its path",
            ),
        ] {
            assert_eq!(why_unreadable(&field_of(avro).unwrap()), Some(why));
        }
        for (avro, why) in [
            (r#""Side""#, "pipeline: the schema has no type `Side`"),
            ("[]", "pipeline: an empty union in the schema"),
            ("7", "pipeline: the schema has no type where it needs one, but 7"),
        ] {
            assert_eq!(field_of(avro).unwrap_err().to_string(), why);
        }
        assert_eq!(
            avro_fields("\"int\"").unwrap_err().to_string(),
            "pipeline: the schema is not an Avro record"
        );
        assert!(avro_fields("{").unwrap_err().to_string().starts_with("pipeline: the schema is not JSON: "));
    }

    #[test]
    fn a_type_may_hold_itself() {
        let text = r#"{"type": "record", "name": "Node", "namespace": "n", "fields": [
            {"name": "v", "type": "int"}, {"name": "next", "type": ["null", "Node"]}]}"#;
        let fields = avro_fields(text).unwrap();
        let DataType::Struct(next) = fields[1].data_type() else { panic!("{fields:?}") };
        assert_eq!(next[0].data_type(), &DataType::Int32);
    }

    #[test]
    fn the_schemas_of_the_repository_are_read() {
        for name in ["observation", "stock"] {
            let path = format!("{}/../../schemas/{name}.avsc", env!("CARGO_MANIFEST_DIR"));
            assert!(avro_fields(&std::fs::read_to_string(path).unwrap()).unwrap().len() > 5);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}", json in "[\\[\\]{}\":,a-z]{0,60}") {
            let _ = avro_fields(&text);
            let _ = field_of(&json);
        }
    }
}
