//! The output records follow their Avro schemas: the Arrow schemas of the code and `schemas/*.avsc`
//! name the same fields, types and nulls.

use arrow::datatypes::{DataType, SchemaRef};
use serde_json::Value;
use tickcast_stream::message::{reject_schema, timestamp_type};
use tickcast_stream::record::{forecast_schema, score_schema};

/// (name, type, nullable) of an Avro field.
fn avro(field: &Value) -> (String, DataType, bool) {
    let (inner, nullable) = match &field["type"] {
        Value::Array(union) => (&union[1], true),
        other => (other, false),
    };
    let data_type = match inner {
        Value::String(name) => match name.as_str() {
            "string" => DataType::Utf8,
            "int" => DataType::Int32,
            "long" => DataType::Int64,
            "double" => DataType::Float64,
            "boolean" => DataType::Boolean,
            "bytes" => DataType::Binary,
            other => panic!("{other}"),
        },
        nested if nested["type"] == "map" || nested["type"] == "array" => DataType::Null,
        nested => {
            assert_eq!(nested["logicalType"], "timestamp-micros");
            timestamp_type()
        }
    };
    (field["name"].as_str().unwrap().to_owned(), data_type, nullable)
}

fn assert_says(text: &str, schema: &SchemaRef) {
    let avsc: Value = serde_json::from_str(text).unwrap();
    let ours: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| {
            let plain = match field.data_type() {
                DataType::Map(..) | DataType::List(..) => &DataType::Null,
                plain => plain,
            };
            (field.name().clone(), plain.clone(), field.is_nullable())
        })
        .collect();
    let theirs: Vec<_> = avsc["fields"].as_array().unwrap().iter().map(avro).collect();
    assert_eq!(ours, theirs);
}

#[test]
fn the_avro_schemas_say_what_is_written() {
    assert_says(include_str!("../../../schemas/forecast.avsc"), &forecast_schema(&[0.5, 0.9], true));
    assert_says(include_str!("../../../schemas/score.avsc"), &score_schema(&[0.5, 0.9]));
    assert_says(include_str!("../../../schemas/reject.avsc"), &reject_schema());
}
