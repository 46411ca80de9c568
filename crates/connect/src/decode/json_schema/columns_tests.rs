//! Tests of JSON Schemas as columns: what drafts, libraries and people write.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::decode::unreadable::why_unreadable;

fn of(schema: Value) -> Result<Vec<Field>> {
    fields_of(&SchemaText { text: schema.to_string(), references: Vec::new() })
}

/// The type of a field `x`, and whether it may be null; or why it cannot be read.
fn of_x(x: Value) -> std::result::Result<(DataType, bool), String> {
    let field = of(json!({"type": "object", "properties": {"x": x}, "$defs": {
        "number": {"type": "number"}, "self": {"$ref": "#/$defs/other"}, "other": {"$ref": "#/$defs/self"},
    }}))
    .unwrap()
    .remove(0);
    match why_unreadable(&field) {
        Some(why) => Err(why.to_owned()),
        None => Ok((field.data_type().clone(), field.is_nullable())),
    }
}

#[test]
fn a_type_is_what_it_means() {
    use DataType::{Boolean, Date32, Float64, Int64, Null, Utf8};
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    for (x, of, nullable) in [
        (json!({"type": "number"}), Float64, false),
        (json!({"type": "integer", "minimum": 0, "unknown": {"a": 1}}), Int64, false),
        (json!({"type": "boolean", "default": true}), Boolean, false),
        (json!({"type": "string", "pattern": "^a"}), Utf8, false),
        (json!({"type": "string", "format": "date-time"}), time.clone(), false),
        (json!({"type": ["null", "string"], "format": "date-time"}), time.clone(), true),
        (json!({"type": "string", "format": "date"}), Date32, false),
        (json!({"type": "string", "format": "uuid"}), Utf8, false),
        (json!({"type": "null"}), Null, true),
        (json!({"type": ["number", "null"]}), Float64, true),
        (json!({"type": ["integer", "number"]}), Float64, false),
        (json!({"type": ["string", "integer"]}), Utf8, false),
        (json!({"anyOf": [{"type": "null"}, {"type": "integer"}]}), Int64, true),
        (json!({"oneOf": [{"type": "integer"}, {"type": "number"}, {"type": "null"}]}), Float64, true),
        (json!({"type": "number", "nullable": true}), Float64, true),
        (json!({"enum": ["on", "off"]}), Utf8, false),
        (json!({"enum": [1, 2.5, null]}), Float64, true),
        (json!({"const": 7}), Int64, false),
        (json!({"$ref": "#/$defs/number"}), Float64, false),
        (json!({"$ref": "#/$defs/number", "description": "beside it"}), Float64, false),
        (json!({"allOf": [{"$ref": "#/$defs/number"}, {"type": "integer"}]}), Int64, false),
        (json!({"allOf": [{"minimum": 1}], "type": "integer"}), Int64, false),
        (json!({"anyOf": [{"minLength": 1}, {"maxLength": 9}], "type": "string"}), Utf8, false),
    ] {
        assert_eq!(of_x(x.clone()), Ok((of, nullable)), "{x}");
    }
}

#[test]
fn what_has_no_type_says_why() {
    for (x, why) in [
        (json!({}), "the schema says no type of it"),
        (json!(true), "the schema says no type of it"),
        (json!(false), "the schema allows no value of it"),
        (json!(7), "the schema has 7 where a schema is needed"),
        (json!({"type": "any"}), "the schema has the type `any`, which JSON has not"),
        (json!({"type": "object", "properties": {"a": {"type": "string"}}}), "it is an object: name a field"),
        (json!({"type": "array", "items": {"type": "number"}}), "it is a list: take it apart"),
        (json!({"type": "object", "additionalProperties": {"type": "number"}}), "it is a map: name a value"),
        (json!({"$ref": "#/$defs/none"}), "it refers to `#/$defs/none`, which is not there"),
        (json!({"$ref": "#/$defs/self"}), "it holds itself, by `#/$defs/self`"),
        (
            json!({"allOf": [{"type": "string"}, {"type": "number"}]}),
            "the schema contradicts itself: text and a number",
        ),
        (
            json!({"type": "integer", "anyOf": [{"type": "string"}, {"type": "boolean"}]}),
            "the schema contradicts itself: an integer and text",
        ),
    ] {
        let said = of_x(x.clone()).unwrap_err();
        assert!(said.starts_with(why), "{x}: {said}");
    }
}

#[test]
fn objects_within_are_followed_by_paths_lists_and_maps() {
    let fields = of(json!({
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": "object",
        "properties": {
            "device": {"$ref": "#/definitions/device"},
            "readings": {"type": "array", "items": {"type": "object", "properties": {"temp": {"type": "number"}}}},
            "tags": {"type": "object", "patternProperties": {"^.*$": {"type": "string"}}},
            "pair": {"type": "array", "items": [{"type": "number"}, {"type": "string"}]},
        },
        "definitions": {"device": {"allOf": [
            {"properties": {"id": {"type": "string"}}},
            {"properties": {"site": {"type": ["string", "null"]}}},
        ]}},
    }))
    .unwrap();
    let shown: Vec<String> =
        fields.iter().map(|field| format!("{} {:?}", field.name(), kinds(field))).collect();
    let expected = [
        r#"device "{id: Utf8, site: Utf8?}""#,
        r#"pair "[Float64]""#,
        r#"readings "[{temp: Float64}]""#,
        r#"tags "<Utf8>""#,
    ];
    assert_eq!(shown, expected);
}

/// A field's type on one line.
fn kinds(field: &Field) -> String {
    let mark = if field.is_nullable() { "?" } else { "" };
    let of = match field.data_type() {
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| format!("{}: {}", field.name(), kinds(field)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        DataType::List(item) => format!("[{}]", kinds(item)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(entry) => format!("<{}>", kinds(&entry[1])),
            other => panic!("{other}"),
        },
        other => other.to_string(),
    };
    format!("{of}{mark}")
}

#[test]
fn a_schema_that_holds_itself_ends_there() {
    let fields = of(json!({"properties": {"v": {"type": "number"}, "next": {"$ref": "#"}}})).unwrap();
    let DataType::Struct(next) = fields[0].data_type() else { panic!("{fields:?}") };
    assert_eq!(next[1].data_type(), &DataType::Float64);
    assert_eq!(why_unreadable(&next[0]), Some("it holds itself, by `#`"));
}

#[test]
fn other_documents_are_found_by_their_names() {
    let text = json!({"type": "object", "properties": {"device": {"$ref": "device.json"}}}).to_string();
    let device = json!({"properties": {"id": {"$ref": "#/$defs/id"}}, "$defs": {"id": {"type": "string"}}});
    let schema = SchemaText { text, references: vec![("device.json".to_owned(), device.to_string())] };
    assert_eq!(kinds(&fields_of(&schema).unwrap()[0]), "{id: Utf8}");
}

#[test]
fn what_is_no_schema_of_objects_is_refused() {
    let doubling: Map<String, Value> = (0..30)
        .map(|n| {
            let next = json!({"$ref": format!("#/$defs/a{}", n + 1)});
            (format!("a{n}"), json!({"allOf": [next, next, next]}))
        })
        .collect();
    for (schema, why) in [
        (json!({"type": "array", "items": {}}), "pipeline: the schema is not of objects"),
        (json!({"type": "string"}), "pipeline: the schema is not of objects"),
        (json!({"$ref": "#"}), "pipeline: the schema cannot be used: it holds itself, by `#`"),
        (json!({"$ref": "other.json"}), "pipeline: the schema cannot be used: it refers to `other.json`"),
        (json!({"allOf": [{"type": "object"}, {"type": "string"}]}), "the schema contradicts itself"),
        (json!({"$ref": "#/$defs/a0", "$defs": doubling}), "the schema is of more than 50000 parts"),
    ] {
        let said = of(schema).unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
    let said = fields_of(&SchemaText { text: "{".into(), references: Vec::new() }).unwrap_err().to_string();
    assert!(said.starts_with("pipeline: the schema is not JSON"), "{said}");
}

#[test]
fn the_language_of_a_schema_is_known_by_its_keys() {
    for text in [
        r#"{"type": "object"}"#,
        r#"{"$schema": "https://json-schema.org/draft/2020-12/schema"}"#,
        r#"{"properties": {}}"#,
        r#"{"type": ["object", "null"]}"#,
        r##"{"$ref": "#/definitions/a", "definitions": {}}"##,
    ] {
        assert!(is_json_schema(text), "{text}");
    }
    for text in [r#"{"type": "record", "name": "R", "fields": []}"#, r#"["null", "R"]"#, "\"R\"", "{", "7"] {
        assert!(!is_json_schema(text), "{text}");
    }
}

/// Any JSON of the words of schemas.
fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!("string")),
        Just(json!("object")),
        Just(json!("#")),
        Just(json!("#/properties/a")),
        Just(json!("#/$defs/a")),
        Just(json!(["null", "number"])),
        Just(json!(true)),
        Just(json!(3)),
    ];
    leaf.prop_recursive(6, 60, 5, |inner| {
        let key = prop_oneof![
            Just("type"),
            Just("properties"),
            Just("items"),
            Just("$ref"),
            Just("$defs"),
            Just("allOf"),
            Just("anyOf"),
            Just("a"),
            Just("b"),
            Just("$id"),
            Just("$anchor"),
            Just("additionalProperties"),
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec((key, inner), 0..5).prop_map(|keys| Value::Object(
                keys.into_iter().map(|(key, of)| (key.to_owned(), of)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn no_schema_makes_it_panic(schema in any_schema(), text in ".{0,80}") {
        let _ = of(schema);
        let _ = fields_of(&SchemaText { text: text.clone(), references: Vec::new() });
        let _ = is_json_schema(&text);
    }
}
