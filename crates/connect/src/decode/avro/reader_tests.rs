//! Tests of Avro payloads: the same rows as the same records in JSON, schemas that differ, frames,
//! and bytes that are no record.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::reader::AvroReader;
use super::schema::{AvroKind, AvroSchema, Logical, TypeId};
use super::wire::write_long;
use crate::decode::json::JsonReader;
use crate::decode::testing::{rows_of, wanted};
use crate::decode::writer_schemas::{SchemaText, WriterSchemas};

fn schema(text: &str) -> Arc<AvroSchema> {
    Arc::new(AvroSchema::parse(text).unwrap())
}

fn record(fields: &str) -> Arc<AvroSchema> {
    schema(&format!(r#"{{"type": "record", "name": "R", "fields": [{fields}]}}"#))
}

/// Writes a value as the specification has it; of a union the first type that it fits.
fn write(schema: &AvroSchema, of: TypeId, value: &Json, out: &mut Vec<u8>) {
    match &schema.of(of).kind {
        AvroKind::Null => {}
        AvroKind::Boolean => out.push(u8::from(value.as_bool().unwrap())),
        AvroKind::Int | AvroKind::Long => write_long(value.as_i64().unwrap(), out),
        AvroKind::Float => out.extend((value.as_f64().unwrap() as f32).to_le_bytes()),
        AvroKind::Double => out.extend(value.as_f64().unwrap().to_le_bytes()),
        AvroKind::String | AvroKind::Bytes => {
            let text = value.as_str().unwrap();
            write_long(text.len() as i64, out);
            out.extend(text.as_bytes());
        }
        AvroKind::Fixed(size) => out.extend(&value.as_str().unwrap().as_bytes()[..*size]),
        AvroKind::Enum(words) => {
            write_long(words.iter().position(|word| value == word).unwrap() as i64, out);
        }
        AvroKind::Union(branches) => {
            let fits = |of: &TypeId| match schema.of(*of).kind {
                AvroKind::Null => value.is_null(),
                AvroKind::String => value.is_string(),
                AvroKind::Record(_) | AvroKind::Map(_) => value.is_object(),
                AvroKind::Array(_) => value.is_array(),
                _ => value.is_number(),
            };
            let at = branches.iter().position(fits).unwrap();
            write_long(at as i64, out);
            write(schema, branches[at], value, out);
        }
        AvroKind::Record(fields) => {
            fields.iter().for_each(|field| write(schema, field.of, &value[&field.name], out));
        }
        AvroKind::Array(items) => {
            let all = value.as_array().unwrap();
            // Half of them in a block that says its size, the others in one that does not.
            let (first, rest) = all.split_at(all.len() / 2);
            if !first.is_empty() {
                let mut block = Vec::new();
                first.iter().for_each(|item| write(schema, *items, item, &mut block));
                write_long(-(first.len() as i64), out);
                write_long(block.len() as i64, out);
                out.extend(block);
            }
            if !rest.is_empty() {
                write_long(rest.len() as i64, out);
                rest.iter().for_each(|item| write(schema, *items, item, out));
            }
            out.push(0);
        }
        AvroKind::Map(values) => {
            let entries = value.as_object().unwrap();
            if !entries.is_empty() {
                write_long(entries.len() as i64, out);
            }
            for (name, value) in entries {
                write_long(name.len() as i64, out);
                out.extend(name.as_bytes());
                write(schema, *values, value, out);
            }
            out.push(0);
        }
    }
}

fn written(schema: &AvroSchema, value: &Json) -> Vec<u8> {
    let mut out = Vec::new();
    write(schema, schema.root, value, &mut out);
    out
}

fn reader(
    fields: &[&str],
    unnest: Option<&str>,
    schema: Option<Arc<AvroSchema>>,
    schemas: Option<Arc<WriterSchemas>>,
) -> AvroReader {
    let names: Vec<String> = fields.iter().map(|name| (*name).to_owned()).collect();
    AvroReader::new(&names, wanted(fields, unnest), schema, schemas)
}

fn read(
    schema: &Arc<AvroSchema>,
    fields: &[&str],
    unnest: Option<&str>,
    payload: &[u8],
) -> Result<Vec<Vec<String>>, String> {
    let reader = reader(fields, unnest, Some(Arc::clone(schema)), None);
    rows_of(&mut reader.batch(), fields.len(), payload)
}

#[test]
fn logical_types_are_what_they_mean() {
    let of = record(
        r#"{"name": "ms", "type": {"type": "long", "logicalType": "timestamp-millis"}},
           {"name": "ns", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
           {"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
           {"name": "day", "type": {"type": "int", "logicalType": "date"}},
           {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
           {"name": "id", "type": {"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}},
           {"name": "side", "type": {"type": "enum", "name": "S", "symbols": ["BUY", "SELL"]}}"#,
    );
    let mut payload = Vec::new();
    write_long(1_500, &mut payload);
    write_long(-1_500, &mut payload);
    write_long(86_400_000_000, &mut payload);
    write_long(1, &mut payload);
    // -123.45
    payload.extend([4, 0xcf, 0xc7]);
    payload.extend(0_u8..16);
    payload.push(2);
    let fields = ["ms", "ns", "local", "day", "price", "id", "side"];
    let expected = [
        "1970-01-01T00:00:01.500Z",
        "1969-12-31T23:59:59.999998Z",
        "1970-01-02T00:00:00Z",
        "1970-01-02T00:00:00Z",
        "-123.45",
        "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "SELL",
    ];
    assert_eq!(read(&of, &fields, None, &payload).unwrap(), [expected]);
    assert_eq!(of.of(0).logical, None);
    assert!(of.types.iter().any(|of| of.logical == Some(Logical::Decimal { scale: 2 })));
}

/// Found by: fuzzing. The element and all after it were lost without a word.
#[test]
fn an_element_that_is_broken_costs_no_other() {
    let of = record(
        r#"{"name": "list", "type": {"type": "array", "items": {"type": "record", "name": "E", "fields": [
            {"name": "tags", "type": {"type": "map", "values": "int"}}, {"name": "v", "type": "int"}]}}}"#,
    );
    // Three elements, each with a map of one entry; the name in the second's is no text.
    let payload = [6, 2, 2, b'a', 2, 0, 10, 2, 2, 0xff, 2, 0, 12, 2, 2, b'a', 4, 0, 14, 0];
    let rows = read(&of, &["v", "list.tags.a"], Some("list"), &payload).unwrap();
    assert_eq!((&rows[0], &rows[2]), (&vec!["5".into(), "1".into()], &vec!["7".into(), "2".into()]));
    assert_eq!(rows[1].len(), 1, "{rows:?}");
}

#[test]
fn a_writer_may_have_other_fields_than_its_reader() {
    let known = record(
        r#"{"name": "id", "type": "string"}, {"name": "temp", "aliases": ["t"], "type": "double"},
           {"name": "unit", "type": "string", "default": "C"}"#,
    );
    let writer = r#"{"type": "record", "name": "R", "fields": [
        {"name": "more", "type": ["null", "long", "string"]}, {"name": "t", "type": "int"}, {"name": "id", "type": "string"}]}"#;
    let payload = written(&AvroSchema::parse(writer).unwrap(), &json!({"more": "x", "t": 7, "id": "m"}));
    let fetch = move |number: u32| match number {
        7 => Ok(Ok(SchemaText { text: writer.to_owned(), references: Vec::new() })),
        _ => Ok(Err("the registry has none of this number".to_owned())),
    };
    let schemas = Arc::new(WriterSchemas::new(Arc::new(fetch)));
    let of = reader(&["id", "temp", "unit"], None, Some(known), Some(schemas));

    let framed = |number: u8| [&[0, 0, 0, 0, number][..], &payload].concat();
    let (first, unknown) = (framed(7), framed(9));
    let mut batch = of.batch();
    assert_eq!(rows_of(&mut batch, 3, &first).unwrap(), [["m", "7", "C"]]);
    let why = rows_of(&mut batch, 3, &unknown).unwrap_err();
    assert_eq!(why, "the schema 9: the registry has none of this number");
    assert_eq!(rows_of(&mut batch, 3, &first).unwrap(), [["m", "7", "C"]]);
}

/// Found by: reading the code once more. The places of fields that a broken record of another writer
/// left behind were taken for those of the writer before: the next record had its values swapped.
#[test]
fn a_broken_record_of_another_writer_leaves_nothing_behind() {
    let writers = [
        r#"{"name": "a", "type": "long"}, {"name": "b", "type": "long"}"#,
        r#"{"name": "b", "type": "long"}, {"name": "a", "type": "long"}"#,
    ];
    let fetch = move |number: u32| {
        let fields = writers[number as usize];
        let text = format!(r#"{{"type": "record", "name": "R", "fields": [{fields}]}}"#);
        Ok(Ok(SchemaText { text, references: Vec::new() }))
    };
    let schemas = Arc::new(WriterSchemas::new(Arc::new(fetch)));
    let of = reader(&["a", "b"], None, None, Some(schemas));
    let (good, broken) = ([0, 0, 0, 0, 0, 2, 4], [0, 0, 0, 0, 1, 6]);
    let mut batch = of.batch();
    assert_eq!(rows_of(&mut batch, 2, &good).unwrap(), [["1", "2"]]);
    assert!(rows_of(&mut batch, 2, &broken).is_err());
    assert_eq!(rows_of(&mut batch, 2, &good).unwrap(), [["1", "2"]]);
}

#[test]
fn frames_are_passed_over_where_one_schema_is_given() {
    let of = record(r#"{"name": "v", "type": ["null", "long"]}, {"name": "w", "type": "long"}"#);
    let plain = written(&of, &json!({"v": null, "w": 64}));
    assert_eq!(plain[0], 0, "a record may begin as a frame does");
    let confluent = [&[0, 0, 0, 0, 1][..], &plain].concat();
    let single = [&[0xc3, 1, 1, 2, 3, 4, 5, 6, 7, 8][..], &plain].concat();
    for payload in [&plain, &confluent, &single] {
        assert_eq!(read(&of, &["v", "w"], None, payload).unwrap(), [["-", "64"]]);
    }
}

#[test]
fn what_is_no_record_says_why() {
    let of = record(
        r#"{"name": "v", "type": ["null", "string"]}, {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A"]}}"#,
    );
    for (payload, why) in [
        (&[][..], "the record ends within a number"),
        (&[2, 6, b'a'], "the record ends 2 bytes too early"),
        (&[8, 0], "a union of 2 types has no type 4"),
        (&[2, 1], "a text or bytes of -1 bytes"),
        (&[2, 2, 0xff, 0], "a text is not UTF-8"),
        (&[1, 2], "a union of 2 types has no type -1"),
        (&[2, 2, b'a', 2], "an enum of 1 words has no word 1"),
        (&[2, 2, b'a', 0, 0], "1 bytes follow the record"),
    ] {
        assert_eq!(read(&of, &["v", "e"], None, payload).unwrap_err(), why, "{payload:?}");
    }
}

#[test]
fn a_type_that_holds_itself_is_read_to_a_depth() {
    let of =
        schema(r#"{"type": "record", "name": "N", "fields": [{"name": "next", "type": ["null", "N"]}]}"#);
    let deep = |depth: usize| [vec![2; depth], vec![0]].concat();
    assert!(read(&of, &["next"], None, &deep(20)).is_ok());
    assert!(read(&of, &["next"], None, &deep(5_000)).unwrap_err().contains("nested deeper"));
    assert!(read(&of, &["other"], None, &deep(500_000)).unwrap_err().contains("nested deeper"));
}

const WIDE: &str = r#"{"type": "record", "name": "R", "fields": [
    {"name": "skipped", "type": {"type": "map", "values": {"type": "array", "items": ["null", "string"]}}},
    {"name": "p", "type": ["null", {"type": "record", "name": "P", "fields": [
        {"name": "t", "type": ["null", "long", "string"]}, {"name": "tags", "type": {"type": "map", "values": "long"}}]}]},
    {"name": "list", "type": {"type": "array", "items": ["null", "P"]}}]}"#;

fn wide() -> impl Strategy<Value = Json> {
    let t = || {
        prop_oneof![
            Just(json!(null)),
            any::<i32>().prop_map(|of| json!(of)),
            "[a-zé\"]{0,5}".prop_map(Json::from)
        ]
    };
    let tags = || proptest::collection::btree_map("[ab]", any::<i32>(), 0..3);
    let p = move || {
        prop_oneof![
            1 => Just(json!(null)),
            4 => (t(), tags()).prop_map(|(t, tags)| json!({"t": t, "tags": tags})),
        ]
    };
    let skipped = proptest::collection::btree_map(
        "[a-z]{1,3}",
        proptest::collection::vec(prop_oneof![Just(json!(null)), Just(json!("x"))], 0..4),
        0..3,
    );
    (skipped, p(), proptest::collection::vec(p(), 0..5))
        .prop_map(|(skipped, p, list)| json!({"skipped": skipped, "p": p, "list": list}))
}

proptest! {
    #[test]
    fn a_record_has_the_rows_of_the_same_record_in_json(value in wide(), has_list in any::<bool>()) {
        let of = schema(WIDE);
        let (fields, unnest) =
            if has_list { (["t", "list.tags.a", "p.t", "list"], Some("list")) } else { (["p.t", "p.tags.a", "p", "list"], None) };
        let payload = written(&of, &value);
        let found = read(&of, &fields, unnest, &payload);

        let text = value.to_string();
        let json = JsonReader::new(wanted(&fields, unnest));
        prop_assert_eq!(found, rows_of(&mut json.batch(), fields.len(), text.as_bytes()));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), cut in 0_usize..80, value in wide()) {
        let of = schema(WIDE);
        let mut payload = written(&of, &value);
        payload.truncate(cut);
        payload.extend(&bytes);
        for payload in [&bytes, &payload] {
            let _ = read(&of, &["t", "p.tags.a"], Some("list"), payload);
            let _ = read(&of, &["p.t", "skipped"], None, payload);
        }
    }
}
