//! The schema of results as JSON Schema.
//! It must not know which columns there are.

use arrow::datatypes::{DataType, Field};
use serde_json::{Map, Value, json};

use super::published::Published;

/// The language: some registries take nothing for a schema that does not name it.
pub(super) const JSON_SCHEMA: &str = "http://json-schema.org/draft-07/schema#";

/// The schema of an object with all of the columns; a column of another type is any value.
pub(super) fn of(schema: &Published) -> Value {
    let mut properties = Map::new();
    for (field, doc) in schema.described() {
        let mut property = of_type(field);
        property["description"] = json!(doc);
        properties.insert(field.name().clone(), property);
    }

    let required: Vec<&String> = schema.columns.iter().map(Field::name).collect();
    json!({
        "$schema": JSON_SCHEMA,
        "title": schema.name(),
        "description": schema.doc(),
        "type": "object",
        "properties": properties,
        "required": required,
    })
}

fn of_type(field: &Field) -> Value {
    let (kind, format) = match field.data_type() {
        DataType::Utf8 => ("string", None),
        DataType::Timestamp(..) => ("string", Some("date-time")),
        DataType::Int32 | DataType::Int64 => ("integer", None),
        DataType::Float64 => ("number", None),
        DataType::Boolean => ("boolean", None),
        DataType::Map(..) => {
            return json!({ "type": "object", "additionalProperties": { "type": ["number", "null"] } });
        }
        _ => return json!({}),
    };

    let kind = if field.is_nullable() { json!([kind, "null"]) } else { json!(kind) };
    match format {
        Some(format) => json!({ "type": kind, "format": format }),
        None => json!({ "type": kind }),
    }
}
