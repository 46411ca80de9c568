//! Rejects on a real broker: each is the record as it came, whatever it came with, and a topic that
//! takes little stops nobody.

use std::ptr;

use rdkafka::bindings::rd_kafka_header_add;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use tickcast_stream::PartitionId;

use super::rejects::good;
use crate::support::broker::brokers_or_skip;
use crate::support::kafka::{count, create_topic, produce, producer, read_all, send_record, set_topic};
use crate::support::pipeline::TestPipeline;
use crate::support::process::{text, tickcast};
use crate::support::readings::run_until;
use crate::support::wait::PATIENCE;

/// 2024-01-01T09:06:40.123Z, in milliseconds.
const STAMP_MS: i64 = 1_704_100_000_123;

/// All of a record that its producer decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub timestamp_ms: Option<i64>,
}

impl Whole {
    /// A record with a key, two headers and a timestamp.
    pub fn new(key: &str, value: Option<&str>) -> Whole {
        let header =
            |name: &str, value: Option<&str>| (name.to_owned(), value.map(|v| v.as_bytes().to_vec()));
        Whole {
            key: Some(key.as_bytes().to_vec()),
            value: value.map(|value| value.as_bytes().to_vec()),
            headers: vec![header("trace", Some("1")), header("trace", None)],
            timestamp_ms: Some(STAMP_MS),
        }
    }

    /// The text of a header of this name, the last if there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().rfind(|(of, _)| of == name)?;
        Some(std::str::from_utf8(found.1.as_deref()?).unwrap())
    }
}

/// Sends records to a partition, and waits until the broker has them.
pub fn send_whole(addr: &str, topic: &str, records: &[Whole]) {
    let producer = producer(addr);
    for Whole { key, value, headers, timestamp_ms } in records {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(0);
        record.key = key.as_deref();
        record.payload = value.as_deref();
        record.timestamp = *timestamp_ms;
        let all = headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
            all.insert(Header { key, value: value.as_deref() })
        });
        record.headers = Some(all);
        send_record(&producer, record);
    }
    producer.flush(PATIENCE).unwrap();
}

/// Every committed record of partition 0.
pub fn whole(addr: &str, topic: &str) -> Vec<Whole> {
    read_all(addr, topic, PartitionId(0), |message| {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        Whole {
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect(),
            timestamp_ms: message.timestamp().to_millis(),
        }
    })
}

const SCHEMA: &str = r#"{"type": "record", "name": "In", "fields": [
  {"name": "k", "type": ["null", "string"]},
  {"name": "t", "type": {"type": "long", "logicalType": "timestamp-micros"}},
  {"name": "v", "type": ["null", "double"]}
]}"#;

/// A pipeline of the topics `ID.in`, `ID.forecasts`, `ID.rejects`, all of one partition, and with
/// this state.
pub fn pipeline(addr: &str, id: &str, state: &str) -> TestPipeline {
    ["in", "forecasts", "rejects"].iter().for_each(|end| create_topic(addr, &format!("{id}.{end}"), 1));
    let bench = TestPipeline::new(&format!(
        "
name: {id}
source: {{ kafka: {{ brokers: \"{addr}\", topic: {id}.in, group: {id}, start: earliest }}, schema: in.avsc, tombstones: reject }}
key: k
time: t
window: {{ tumbling: 1h, select: {{ x: avg(v) }} }}
forecast: {{ target: x, horizons: [1], model: {{ hidden: 2, bptt: 10, replay: 1 }} }}
state: {{ {state} }}
sinks:
  forecasts: {{ kafka: {{ topic: {id}.forecasts }} }}
  rejects: {{ kafka: {{ topic: {id}.rejects }} }}
"
    ));
    bench.write("in.avsc", SCHEMA);
    bench
}

/// The state that makes delivery exactly once.
pub fn in_topic(id: &str) -> String {
    format!("kafka: {{ topic: {id}.state }}")
}

/// Good records that close the windows of midnight and one o'clock.
pub fn send_good(addr: &str, id: &str) {
    let goods: Vec<Vec<u8>> = (0..3).map(good).collect();
    produce(addr, &format!("{id}.in"), PartitionId(0), goods.iter().map(Vec::as_slice));
}

/// A record of a window that has closed.
pub fn late() -> Whole {
    Whole::new("its-key", Some(r#"{"k":"a","t":"2024-01-01T00:10:00Z","v":1}"#))
}

/// Found by: a review. Key, headers and timestamp were dropped, and a tombstone came out empty.
#[test]
fn a_reject_is_the_record_as_it_came() {
    let Some(addr) = brokers_or_skip() else { return };
    for (id, state) in [("came.once", in_topic("came.once")), ("came.again", "dir: state".to_owned())] {
        let bench = pipeline(addr, id, &state);
        send_good(addr, id);
        let mut clashing = Whole::new("\u{0}key", Some("\u{0}broken"));
        for (name, value) in [("reason", "mine"), ("offset", ""), ("cut", "0"), ("", "no name")] {
            clashing.headers.push((name.to_owned(), Some(value.as_bytes().to_vec())));
        }
        let nothing =
            Whole { key: None, value: Some(vec![]), headers: vec![], timestamp_ms: Some(STAMP_MS + 1) };
        let came = [clashing, Whole::new("", None), late(), nothing];
        send_whole(addr, &format!("{id}.in"), &came);

        let rejects = || whole(addr, &format!("{id}.rejects"));
        run_until(&bench, || rejects().len() >= came.len());
        let rejects = rejects();
        assert_eq!(rejects.len(), came.len());
        for (index, (reject, came)) in rejects.iter().zip(&came).enumerate() {
            assert_eq!((&reject.key, &reject.value), (&came.key, &came.value), "{id} {index}");
            let (own, ours) = reject.headers.split_at(came.headers.len());
            assert_eq!(own, came.headers, "{id} {index}");
            let names: Vec<&str> = ours.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["reason", "detail", "topic", "partition", "offset", "timestamp"]);
            assert_eq!(reject.header("offset").unwrap(), (3 + index).to_string());
            assert_eq!(reject.header("timestamp").unwrap(), came.timestamp_ms.unwrap().to_string());
        }
        let reasons: Vec<&str> = rejects.iter().map(|reject| reject.header("reason").unwrap()).collect();
        assert_eq!(reasons, ["undecodable", "undecodable", "late", "undecodable"]);
    }
}

/// Found by: reading. The client's own way to read a header ends the process at such a name.
#[test]
#[expect(unsafe_code, reason = "no safe call makes such a name")]
fn a_header_whose_name_is_no_text_ends_nothing() {
    let Some(addr) = brokers_or_skip() else { return };
    let id = "nameless";
    let bench = pipeline(addr, id, &in_topic(id));
    let producer = producer(addr);
    let headers = OwnedHeaders::new();
    let list = ptr::from_ref(headers.as_borrowed()).cast_mut().cast();
    // SAFETY: the list is ours, and the call copies name and value.
    unsafe { rd_kafka_header_add(list, b"\xff!".as_ptr().cast(), 2, b"kept".as_ptr().cast(), 4) };
    send_record(&producer, BaseRecord::to("nameless.in").partition(0).payload(&b"{"[..]).headers(headers));
    producer.flush(PATIENCE).unwrap();

    let rejects = || whole(addr, "nameless.rejects");
    run_until(&bench, || !rejects().is_empty());
    assert_eq!(rejects()[0].headers[0], ("\u{fffd}!".to_owned(), Some(b"kept".to_vec())));
}

/// Text that no compression makes small.
fn noise(bytes: usize) -> String {
    let mut seed = 1_u32;
    let next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'0' + (seed >> 24) as u8 % 75)
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

/// Found by: a review. The transaction was aborted again and again, and nothing came out any more.
#[test]
fn a_reject_larger_than_its_topic_takes_is_cut_and_stops_nobody() {
    let Some(addr) = brokers_or_skip() else { return };
    for (id, state) in [("tight.once", in_topic("tight.once")), ("tight.again", "dir: state".to_owned())] {
        let bench = pipeline(addr, id, &state);
        let rejects = format!("{id}.rejects");
        set_topic(addr, &rejects, "max.message.bytes", "20000");
        // Noise does not compress; and many small ones make a batch that is too large.
        let noise = noise(50_000);
        let small = (0..300).map(|at| Whole::new("small", Some(&noise[at * 150..][..400])));
        let came: Vec<Whole> = std::iter::once(Whole::new("large", Some(&noise))).chain(small).collect();
        send_whole(addr, &format!("{id}.in"), &came);
        send_good(addr, id);

        let forecasts = || count(addr, &format!("{id}.forecasts"), 1);
        run_until(&bench, || forecasts() >= 2 && count(addr, &rejects, 1) >= came.len());
        let rejects = whole(addr, &rejects);
        assert_eq!(rejects.len(), came.len());
        let (first, rest) = rejects.split_first().unwrap();
        assert_eq!((first.header("cut"), &first.key), (Some("50000"), &came[0].key));
        let value = first.value.as_ref().unwrap();
        assert!(value.len() > 19_000 && noise.as_bytes().starts_with(value), "{}", value.len());
        assert!(rest.iter().zip(&came[1..]).all(|(reject, came)| reject.value == came.value));
        assert!(rest.iter().all(|reject| reject.header("cut").is_none()));

        if id == "tight.once" {
            // What was cut is compared as far as it goes, whatever the topic takes by now.
            set_topic(addr, &format!("{id}.rejects"), "max.message.bytes", "1000000");
            let verified = tickcast("verify", &bench.file(), &[]);
            assert_eq!(
                verified.status.code(),
                Some(0),
                "{}{}",
                text(&verified.stdout),
                text(&verified.stderr)
            );
            set_topic(addr, &format!("{id}.rejects"), "max.message.bytes", "20000");
        }
        let replayed = tickcast("replay-rejects", &bench.file(), &["--dry-run"]);
        let expected = format!("to be sent to topic {id}.in: 300; sent before: 0; cut, and not sent: 1\n");
        assert_eq!(text(&replayed.stdout), expected, "{}", text(&replayed.stderr));
        let named = format!("{id}.in partition 0 offset 0, of 50000 bytes");
        assert!(text(&replayed.stderr).contains(&named), "{}", text(&replayed.stderr));
        let checked = tickcast("check", &bench.file(), &["--connect"]);
        assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
        let warning = format!("topic {id}.rejects takes 20000 bytes a record");
        assert!(text(&checked.stderr).contains(&warning), "{}", text(&checked.stderr));
    }
}

/// Found by: reading. A setting that is lowered while the run is on was met by the same records
/// again and again.
#[test]
fn a_limit_lowered_in_mid_run_is_asked_for_again_and_a_forecast_over_it_ends_the_run() {
    let Some(addr) = brokers_or_skip() else { return };
    let id = "lowered";
    let bench = pipeline(addr, id, &in_topic(id));
    send_good(addr, id);
    let broken = Whole::new("large", Some(&noise(50_000)));
    let forecasts = || count(addr, "lowered.forecasts", 1);
    let rejects = || whole(addr, "lowered.rejects");
    let lowered = std::cell::Cell::new(false);
    run_until(&bench, || {
        if forecasts() >= 2 && !lowered.get() {
            set_topic(addr, "lowered.rejects", "max.message.bytes", "5000");
            send_whole(addr, "lowered.in", std::slice::from_ref(&broken));
            lowered.set(true);
        }
        lowered.get() && !rejects().is_empty()
    });
    assert_eq!(rejects()[0].header("cut"), Some("50000"));

    set_topic(addr, "lowered.forecasts", "max.message.bytes", "100");
    let more: Vec<Vec<u8>> = (3..6).map(good).collect();
    produce(addr, "lowered.in", PartitionId(0), more.iter().map(Vec::as_slice));
    let ended = tickcast("run", &bench.file(), &[]);
    assert_eq!(ended.status.code(), Some(1));
    let stderr = text(&ended.stderr);
    assert!(
        stderr.contains("topic lowered.forecasts refuses a record for its size: it takes 100 bytes"),
        "{stderr}"
    );
}
