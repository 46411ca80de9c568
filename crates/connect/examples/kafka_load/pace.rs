//! How long a result takes: ticks at a steady rate, and for each result the time from the record
//! that closed its window to the moment when a reader of committed records has the result.
//! It must not know who makes them.
//!
//! A tick's event time is the clock when it is sent, so the first record of a partition at or after
//! a window's end closes the window, and is sent at its own event time. Both ends are in this
//! process: there is one clock. A result names the end of its window in `issued_at`.

use std::collections::HashMap;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::Message;
use serde_json::{Value, json};

use super::client::{Sender, Topic, consumer, now_s};
use super::ticks::Ticks;

/// So long after the last tick the results may still come.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often ticks are sent.
const BEAT: Duration = Duration::from_millis(1);

/// What is sent, and what shall come of it.
pub struct Load {
    pub series: usize,
    /// Ticks a second.
    pub rate: f64,
    pub window_ms: i64,
    /// Windows that are closed in this time are not measured.
    pub warm_up_s: f64,
    pub measured_s: f64,
    /// The topic of the results.
    pub results: String,
    pub results_a_series: usize,
}

/// When the windows of a partition were closed: (partition of a series, end) to time sent.
type Closings = HashMap<(usize, i64), i64>;

fn now_us() -> i64 {
    (now_s() * 1e6) as i64
}

/// Sends and measures. What never came is counted.
pub fn pace(topic: &Topic, load: &Load) -> Value {
    let closings = Mutex::new(Closings::new());
    let from_us = now_us() + (load.warm_up_s * 1e6) as i64;
    let partitions = topic.partitions as usize;
    thread::scope(|scope| {
        let sending = scope.spawn(|| send(topic, load, &closings));
        let consumer = consumer(&topic.beside(&load.results));
        let (mut late_us, mut expected, mut all_sent) = (Vec::new(), None, Instant::now());

        while expected.is_none_or(|expected| late_us.len() < expected) && all_sent.elapsed() < PATIENCE {
            if expected.is_none() {
                all_sent = Instant::now();
                expected = sending.is_finished().then(|| load.expected(&closings, from_us, partitions));
            }
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(20)) else { continue };
            let now_us = now_us();
            let Some(window) = window_of(message.key(), message.payload(), partitions) else { continue };
            let closed_us = closings.lock().expect("a whole sender").get(&window).copied();
            late_us.extend(closed_us.filter(|&closed| closed >= from_us).map(|closed| now_us - closed));
        }
        said(late_us, expected, sending.join().expect("a whole sender"))
    })
}

impl Load {
    /// How many results the windows have that were closed since.
    fn expected(&self, closings: &Mutex<Closings>, from_us: i64, partitions: usize) -> usize {
        let series = |partition: usize| (self.series + partitions - 1 - partition) / partitions;
        let closings = closings.lock().expect("a whole sender");
        let measured = closings.iter().filter(|(_, closed_us)| **closed_us >= from_us);
        measured.map(|((partition, _), _)| series(*partition) * self.results_a_series).sum()
    }
}

fn said(mut late_us: Vec<i64>, expected: Option<usize>, rate: f64) -> Value {
    late_us.sort_unstable();
    let at = |share: f64| {
        let place = (late_us.len() as f64 * share).ceil() as usize;
        late_us.get(place.saturating_sub(1)).map(|&us| us as f64 / 1e3)
    };
    json!({
        "rate": rate, "results": late_us.len(), "expected": expected.unwrap_or(0),
        "p50_ms": at(0.5), "p99_ms": at(0.99), "p99_9_ms": at(0.999), "max_ms": at(1.0),
    })
}

/// Sends ticks, each series in turn, and notes which closed a window. The ticks a second in truth.
fn send(topic: &Topic, load: &Load, closings: &Mutex<Closings>) -> f64 {
    let (sender, mut ticks) = (Sender::new(topic, 1), Ticks::new(load.series));
    let partitions = topic.partitions as usize;
    let window_us = load.window_ms * 1_000;
    let mut ends = vec![i64::MAX; partitions];
    let (from, whole_s) = (Instant::now(), load.warm_up_s + load.measured_s);
    let mut sent = 0_usize;

    while from.elapsed().as_secs_f64() < whole_s {
        let due = (from.elapsed().as_secs_f64() * load.rate) as usize;
        while sent < due {
            let (one, time_us) = (sent % load.series, now_us());
            let partition = one % partitions;
            if time_us >= ends[partition] {
                closings.lock().expect("a whole reader").insert((partition, ends[partition]), time_us);
                ends[partition] = i64::MAX;
            }
            if ends[partition] == i64::MAX {
                ends[partition] = (time_us / window_us + 1) * window_us;
            }
            let (key, value) = ticks.next(one, time_us);
            sender.send(partition as i32, key, value);
            sent += 1;
        }
        thread::sleep(BEAT);
    }
    let rate = sent as f64 / from.elapsed().as_secs_f64();
    sender.finish();
    rate
}

/// Partition of the series and end of the window, by a result's key and its `issued_at`.
fn window_of(key: Option<&[u8]>, value: Option<&[u8]>, partitions: usize) -> Option<(usize, i64)> {
    let series: usize = std::str::from_utf8(key?.strip_prefix(b"s")?).ok()?.parse().ok()?;
    let text = std::str::from_utf8(value?).ok()?;
    let time = text.split("\"issued_at\":").nth(1)?.trim_start().strip_prefix('"')?.split('"').next()?;
    let end: jiff::Timestamp = time.parse().ok()?;
    Some((series % partitions, end.as_microsecond()))
}
