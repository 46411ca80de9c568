//! Takes messages into the log for as long as the pipeline runs: a message is acknowledged once it
//! is durable, and not before.
//! It must not know which log it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::message::{EventTime, RawRecord, RecordHeader};
use tickcast_stream::runtime::Backoff;
use tickcast_stream::telemetry::{Health, HealthPart, Metrics};

use super::connection::Connection;
use super::packet::Message;
use super::spec::MqttSpec;
use crate::ingest::{IngestGate, NotStored};

/// Messages that are stored together at most.
const GROUP_MESSAGES: usize = 1000;
/// Bytes that are stored together, about.
const GROUP_BYTES: usize = 8 << 20;
/// How often it looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(100);
const PAUSES: Backoff = Backoff::growing(Duration::from_millis(200), Duration::from_secs(20));
/// A connection that lasted so long was a good one: the next one is not waited for.
const GOOD: Duration = Duration::from_secs(30);

/// Who looks on.
#[derive(Clone)]
pub struct IngestWatch {
    /// Counts what comes.
    pub metrics: Arc<Metrics>,
    /// Knows what is waited for.
    pub health: Arc<Health>,
    /// Set to end it.
    pub stop: Arc<AtomicBool>,
}

/// Takes messages until it is to stop. A broker that is away or refuses is tried again, and health
/// says why.
pub fn ingest_mqtt(spec: &MqttSpec, gate: &IngestGate, watch: &IngestWatch) {
    watch.metrics.ingest_records(0);
    let (mut pauses, mut is_subscribed) = (PAUSES, false);
    while !watch.stop.load(Ordering::Relaxed) {
        let from = Instant::now();
        let Err(error) = take(spec, gate, watch, &mut is_subscribed) else { return };
        if from.elapsed() > GOOD {
            pauses = PAUSES;
        }

        let pause = pauses.next().unwrap_or_default();
        tracing::warn!(%error, retry_in = ?pause, "no messages are taken");
        watch.health.set_waiting(HealthPart::Ingest, error.to_string());
        let until = Instant::now() + pause;
        while Instant::now() < until && !watch.stop.load(Ordering::Relaxed) {
            sleep(LOOK.min(pause));
        }
    }
}

/// One connection, until it is to stop. Errors: what ended it.
fn take(spec: &MqttSpec, gate: &IngestGate, watch: &IngestWatch, is_subscribed: &mut bool) -> Result<()> {
    let mut connection = Connection::open(spec, *is_subscribed)?;
    *is_subscribed = true;
    tracing::info!(broker = spec.address(), topics = ?spec.topics, "subscribed");
    watch.health.set_ready(HealthPart::Ingest);

    let mut group = Group::default();
    loop {
        let is_stopped = watch.stop.load(Ordering::Relaxed);
        let wait = if group.records.is_empty() { LOOK } else { Duration::ZERO };
        let message = if is_stopped { None } else { connection.message(wait)? };
        let is_last = message.is_none();
        message.into_iter().for_each(|message| group.take(message));

        if !group.records.is_empty() && (is_last || group.is_full()) {
            let count = group.records.len() as u64;
            let Group { records, ids, .. } = std::mem::take(&mut group);
            // What is not stored is not acknowledged: the broker sends it again to the next
            // connection.
            gate.append(records).map_err(|NotStored { why, .. }| Error::transient(Kind::Source, why))?;
            watch.metrics.ingest_records(count);
            connection.acknowledge(&ids)?;
        }
        if is_stopped {
            connection.leave();
            return Ok(());
        }
    }
}

/// Messages that are stored together.
#[derive(Default)]
struct Group {
    records: Vec<RawRecord>,
    ids: Vec<u16>,
    bytes: usize,
}

impl Group {
    /// A record of its message: the topic is its key, and what the sender has said beside are its
    /// headers.
    fn take(&mut self, message: Message) {
        let Message { topic, id, properties, payload, cut_from } = message;
        let header = |(name, value): (String, String)| RecordHeader { name, value: Some(value.into_bytes()) };
        self.bytes += payload.len();
        self.ids.extend(id);

        self.records.push(RawRecord {
            timestamp: Some(now()),
            key: Some(topic.into()),
            headers: properties.user.into_iter().map(header).collect(),
            payload: Some(payload),
            cut_from,
            ..RawRecord::default()
        });
    }

    fn is_full(&self) -> bool {
        self.records.len() >= GROUP_MESSAGES || self.bytes >= GROUP_BYTES
    }
}

/// When a message came in, which is part of it from here on.
fn now() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
