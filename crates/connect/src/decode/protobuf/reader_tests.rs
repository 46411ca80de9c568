//! Tests of Protobuf payloads: what a library writes is read, with what its fields mean, frames, and
//! bytes that are no message.

use std::sync::Arc;

use proptest::prelude::*;
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde::de::DeserializeSeed;

use super::reader::ProtoReader;
use super::schema::{ProtoSchema, columns_of};
use crate::decode::testing::{rows_of, wanted};
use crate::decode::writer_schemas::{SchemaText, WriterSchemas};

const PROTO: &str = r#"
syntax = "proto3";
package plant;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/duration.proto";
message Other { string x = 1; }
message Reading {
  enum Quality { UNKNOWN = 0; OK = 1; }
  message Value { double c = 1; optional double f = 2; sint32 delta = 3; }
  string id = 1;
  google.protobuf.Timestamp at = 2;
  Value value = 3;
  repeated Value values = 4;
  repeated int64 counts = 5;
  map<string, double> tags = 6;
  Quality quality = 7;
  google.protobuf.DoubleValue maybe = 8;
  google.protobuf.Duration took = 9;
  fixed64 big = 10;
  oneof of { string text = 11; float number = 12; }
  bytes raw = 13;
  Reading inner = 14;
}
"#;

fn message() -> MessageDescriptor {
    ProtoSchema::of_bytes(PROTO.as_bytes()).unwrap().message(Some("plant.Reading")).unwrap()
}

/// A message as its JSON says it, written by the library.
fn written(json: &str) -> Vec<u8> {
    let message = message().deserialize(&mut serde_json::Deserializer::from_str(json)).unwrap();
    DynamicMessage::encode_to_vec(&message)
}

fn read(fields: &[&str], unnest: Option<&str>, payload: &[u8]) -> Result<Vec<Vec<String>>, String> {
    let reader = ProtoReader::new(wanted(fields, unnest), Some(&message()), None);
    rows_of(&mut reader.batch(), fields.len(), payload)
}

#[test]
fn every_kind_of_field_is_what_it_means() {
    let payload = written(
        r#"{"id": "m", "at": "2024-01-01T00:00:00.25Z", "value": {"c": 1.5, "delta": -7}, "counts": [1],
            "tags": {"a": 2.5, "b": 3}, "quality": "OK", "maybe": 0.5, "took": "1.5s", "big": "18446744073709551615",
            "number": 0.5, "raw": "/w=="}"#,
    );
    let fields = [
        "id",
        "at",
        "value.c",
        "value.f",
        "value.delta",
        "value",
        "counts",
        "tags.a",
        "quality",
        "maybe",
        "took",
        "big",
        "text",
        "number",
        "raw",
    ];
    let expected = [
        "m",
        "2024-01-01T00:00:00.250Z",
        "1.5",
        "-",
        "-7",
        "{}",
        "{}",
        "2.5",
        "OK",
        "0.5",
        "1.5",
        "18446744073709551615",
        "-",
        "0.5",
        "bytes",
    ];
    assert_eq!(read(&fields, None, &payload).unwrap(), [expected]);
}

#[test]
fn what_is_left_out_is_zero_unless_it_may_be_absent() {
    let fields = ["id", "at", "value.c", "quality", "maybe", "big", "number", "tags.a"];
    assert_eq!(read(&fields, None, &[]).unwrap(), [["", "-", "-", "UNKNOWN", "-", "0", "-", "-"]]);
    let payload = written(r#"{"value": {}, "maybe": 0, "tags": {"a": 0}}"#);
    assert_eq!(read(&fields, None, &payload).unwrap(), [["", "-", "0", "UNKNOWN", "0", "0", "-", "0"]]);
}

#[test]
fn elements_of_a_repeated_field_are_rows() {
    let payload = written(r#"{"id": "m", "values": [{"c": 1}, {"c": 2, "f": 3}, {}], "counts": [4, -5]}"#);
    let of_messages = read(&["id", "c", "values.f"], Some("values"), &payload).unwrap();
    assert_eq!(of_messages, [["m", "1", "-"], ["m", "2", "3"], ["m", "0", "-"]]);
    // Numbers are packed.
    assert_eq!(read(&["id", "counts"], Some("counts"), &payload).unwrap(), [["m", "4"], ["m", "-5"]]);
    assert!(read(&["id", "c"], Some("values"), &written(r#"{"id": "m"}"#)).unwrap().is_empty());
}

/// Found by: fuzzing. The element and all after it were lost without a word.
#[test]
fn an_element_that_is_broken_costs_no_other() {
    let [first, last] = [r#"{"values": [{"c": 1}]}"#, r#"{"values": [{"c": 2}]}"#].map(written);
    // In the second one a field is cut short.
    let payload = [&first[..], &[34, 2, 9, 0], &last].concat();
    let rows = read(&["c"], Some("values"), &payload).unwrap();
    assert_eq!((&rows[0], &rows[2]), (&vec!["1".to_owned()], &vec!["2".to_owned()]));
    assert!(rows[1][0].starts_with("not Protobuf"), "{rows:?}");
}

#[test]
fn a_frame_names_the_schema_and_the_message_in_it() {
    let fetch = |number| match number {
        5 => Ok(Ok(SchemaText { text: PROTO.to_owned(), references: Vec::new() })),
        _ => Ok(Err("no such schema".to_owned())),
    };
    let schemas = Arc::new(WriterSchemas::new(Arc::new(fetch)));
    let reader = ProtoReader::new(wanted(&["id", "x"], None), None, Some(schemas));
    let mut batch = reader.batch();
    let body = written(r#"{"id": "m"}"#);
    // Zigzag: one index, the second message; and the short form of the first.
    let second = [&[0, 0, 0, 0, 5, 2, 2][..], &body].concat();
    let first = [&[0, 0, 0, 0, 5, 0][..], &body].concat();
    let inner = [&[0, 0, 0, 0, 5, 4, 2, 0][..], &[]].concat();
    assert_eq!(rows_of(&mut batch, 2, &second).unwrap(), [["m", "-"]]);
    assert_eq!(rows_of(&mut batch, 2, &first).unwrap(), [["-", "m"]]);
    assert_eq!(rows_of(&mut batch, 2, &inner).unwrap(), [["-", "-"]]);
    for (payload, why) in [
        (&[0, 0, 0, 0, 5, 2, 18][..], "the schema 5 has no message at [9]"),
        (&[0, 0, 0, 0, 6, 0], "the schema 6: no such schema"),
        (&[0, 0, 0, 0, 5], "the payload ends within its frame"),
        (&[10, 1, b'm'], "the payload does not begin with the number of a schema"),
    ] {
        assert_eq!(rows_of(&mut batch, 2, payload).unwrap_err(), why, "{payload:?}");
    }
    assert_eq!(read(&["id"], None, &second).unwrap(), [["m"]], "without a registry the frame is passed over");
}

#[test]
fn what_is_no_message_says_why() {
    for (payload, why) in [
        (&[10, 5, b'm'][..], "not Protobuf: the message ends within a field"),
        (&[0x0f], "not Protobuf: "),
        (&[10, 1, 0xff], "not Protobuf: a text is not UTF-8"),
        (&[8, 1], "not Protobuf: a field is written as Varint, which its schema does not allow"),
    ] {
        let found = read(&["id"], None, payload).unwrap_err();
        assert!(found.starts_with(why), "{payload:?}: {found}");
    }
    let mut deep = written(r#"{"id": "m"}"#);
    for _ in 0..200 {
        let mut outer = vec![14 << 3 | 2];
        prost::encoding::encode_varint(deep.len() as u64, &mut outer);
        outer.extend(deep);
        deep = outer;
    }
    assert_eq!(read(&["id", "inner.id"], None, &deep).unwrap()[0][0], "");
}

#[test]
fn a_schema_says_which_messages_and_columns_it_has() {
    let schema = ProtoSchema::of_bytes(PROTO.as_bytes()).unwrap();
    let why = schema.message(None).unwrap_err().to_string();
    assert!(why.contains("several messages: plant.Other, plant.Reading"), "{why}");
    let why = schema.message(Some("plant.Readin")).unwrap_err().to_string();
    assert!(why.contains("has no message `plant.Readin`"), "{why}");
    let columns = columns_of(&message());
    assert_eq!(columns.len(), 14);
    let why =
        ProtoSchema::of_bytes(b"syntax = \"proto3\"; message M { strin x = 1; }").unwrap_err().to_string();
    assert!(why.contains("no .proto file"), "{why}");
    assert!(ProtoSchema::of_bytes(b"\xff\xfe").unwrap_err().to_string().contains("neither a descriptor set"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), cut in 0_usize..40) {
        let mut payload = written(r#"{"id": "m", "values": [{"c": 1}], "counts": [4, -5], "tags": {"a": 2}, "took": "1s"}"#);
        payload.truncate(cut);
        payload.extend(&bytes);
        for payload in [&bytes, &payload] {
            let _ = read(&["id", "at", "tags.a", "maybe", "took", "value.c"], None, payload);
            let _ = read(&["c", "values"], Some("values"), payload);
            let _ = read(&["counts"], Some("counts"), payload);
        }
    }
}
