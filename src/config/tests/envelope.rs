//! Envelopes and tombstones in the pipeline file: what they become, and what is told where they
//! cannot be.

use tickcast_connect::{Envelope, Shape, Tombstones};

use super::*;

#[test]
fn an_envelope_and_tombstones_become_part_of_the_shape() {
    assert_eq!(plan(SMALLEST).records.shape, Shape::default());
    for (keys, envelope, tombstones) in [
        ("envelope: debezium", Some(Envelope::Debezium), Tombstones::PassOver),
        ("tombstones: reject", None, Tombstones::Reject),
        ("envelope: debezium, tombstones: pass_over", Some(Envelope::Debezium), Tombstones::PassOver),
    ] {
        let plan = with_sets(SMALLEST, &[&format!("source={{kafka: {{topic: t}}, {keys}}}")]).unwrap().plan;
        assert_eq!(plan.records.shape, Shape { envelope, tombstones, ..Shape::default() }, "{keys}");
    }
}

#[test]
fn what_cannot_be_in_an_envelope_is_told() {
    for (source, said) in [
        (
            "{file: {path: a.parquet}, envelope: debezium}",
            "source.envelope: is of records of JSON, Avro and Protobuf",
        ),
        (
            "{file: {path: a.csv}, envelope: debezium}",
            "source.envelope: is of records of JSON, Avro and Protobuf",
        ),
        ("{generate: {}, envelope: debezium}", "source.envelope: is of records of JSON, Avro and Protobuf"),
        (
            "{kafka: {topic: t}, format: csv, csv: {header: [a]}, envelope: debezium}",
            "source.envelope: is of records of JSON, Avro and Protobuf",
        ),
        (
            "{kafka: {topic: t}, envelope: debezium, unnest: after.list}",
            "source.unnest: a change event is one row, and no list (take one of them out)",
        ),
        (
            "{kafka: {topic: t}, envelope: debezum}",
            "source.envelope: unknown word \"debezum\"; did you mean \"debezium\"? (one of debezium)",
        ),
        ("{kafka: {topic: t}, tombstones: skip}", "source.tombstones: unknown word \"skip\""),
        ("{kafka: {topic: t}, envelop: debezium}", "source.envelop: unknown key"),
        (
            "{file: {path: a.ndjson}, tombstones: reject}",
            "source.tombstones: only records of a topic may have no value",
        ),
    ] {
        let said_now = faults(&SMALLEST.replacen("{kafka: {topic: t}}", source, 1));
        assert_eq!(said_now.len(), 1, "{said_now:?}");
        assert!(said_now[0].contains(said), "{said_now:?}");
    }
}
