//! Bytes that are pushed at the pipeline, and a journal that holds others than were written.

use std::fs;
use std::time::Duration;

use axum::body::Bytes;
use tickcast_connect::ingest::{BodyKind, BodySpec, IngestLogSpec, Precision, line_to_json};
use tickcast_connect::mqtt::{MqttVersion, packets};
use tickcast_connect::{JournalSpec, Tail, WireFormat, journal_frames};
use tickcast_stream::message::{EventTime, RawRecord};

use super::{Mutator, fuzz};

#[test]
fn any_line_of_the_line_protocol_is_an_object_or_refused() {
    let good: [&[u8]; 4] = [
        b"weather,location=us-midwest,season=summer temperature=82,ok=t 1465839830100400200",
        br#"we\,a\ ther,lo\=c=us\ mid f="too \"hot\" C:\\x",i=-12i,u=7u,e=-1.2e+78"#,
        b"m a=1",
        "m,t=é a=\"ü\" -1".as_bytes(),
    ];
    let words = [
        ",",
        " ",
        "=",
        "\\",
        "\"",
        "i",
        "1e400",
        "NaN",
        "time=",
        "measurement=",
        "\\\\",
        "9223372036854775808",
    ];
    fuzz(20_000, Mutator::new(&good, &words), |input| {
        let json = line_to_json(input, Precision::Nanoseconds, EventTime(0));
        json.is_ok_and(|json| {
            assert!(serde_json::from_str::<serde_json::Value>(&json).unwrap().is_object(), "{json}");
            true
        })
    });
}

#[test]
fn any_body_is_objects_or_refused_whole() {
    let good: [&[u8]; 3] = [b"{\"a\":1}\n{\"b\":[{}]}\n", b"[{\"a\":\"x\\\"]\"}, {}]", b"{\n\"a\" : null }"];
    let words = ["{", "}", "[", "]", ",", "\"", "\\", "\n", "\r", "1e400", "\\ud800", ":", "//"];
    let spec = BodySpec { format: WireFormat::Json, csv_header: None };
    fuzz(20_000, Mutator::new(&good, &words), |input| {
        let records = spec.records(BodyKind::Json, &Bytes::copy_from_slice(input), EventTime(0));
        records.is_ok_and(|records| records.iter().all(|record| record.starts_with(b"{")))
    });
}

#[test]
fn any_bytes_of_a_broker_are_packets_or_refused_in_whatever_pieces() {
    let good: [&[u8]; 3] = [
        b"\x20\x08\x01\x00\x05\x13\x00\x07\x25\x01\x90\x05\x00\x01\x00\x01\x87\xd0\x00",
        b"\x32\x13\x00\x03a/b\x00\x07\x09\x26\x00\x01u\x00\x03\xc2\xb0C{}",
        b"\xe0\x01\x8e\xd0\x00",
    ];
    fuzz(20_000, Mutator::new(&good, &["\x00", "\x01", "\x26", "\x7f", "\x32"]), |input| {
        let whole = packets(input, MqttVersion::V5, input.len());
        assert_eq!(packets(input, MqttVersion::V5, 3), whole);
        packets(input, MqttVersion::V311, 7);
        whole.1 && whole.0 > 0
    });
}

/// A segment with any bytes is opened and goes on behind its whole records, or is refused by name.
#[test]
fn any_journal_is_opened_at_its_last_whole_record_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let journal = JournalSpec {
        dir: dir.path().join("journal"),
        keep: Duration::MAX,
        segment_bytes: JournalSpec::SEGMENT_BYTES,
        tail: Tail::default(),
    };
    let segment = journal.dir.join(format!("{:020}.journal", 0));
    let open = || IngestLogSpec::Journal(journal.clone()).open(Box::new(|| Ok(None)));
    let record = |n: u8| RawRecord { payload: Some(vec![n; 9].into()), ..RawRecord::default() };
    let mut log = open().unwrap();
    (0..3).for_each(|n| log.append(&[record(n), record(n)]).unwrap());
    drop(log);

    let good = fs::read(&segment).unwrap();
    fuzz(1500, Mutator::new(&[&good], &["tick", "\x00"]), |input| {
        let known = journal_frames(input.get(48..).unwrap_or_default());
        fs::write(&segment, input).unwrap();
        let Ok(mut log) = open() else { return false };
        log.append(&[record(9)]).unwrap();
        let (frames, _) = journal_frames(&fs::read(&segment).unwrap()[48..]);
        assert!(frames <= known.0 + 1 && frames > 0);
        true
    });
}
