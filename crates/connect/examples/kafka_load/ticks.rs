//! The ticks of the measurements: prices and sizes of so many series, in order of their time.
//! It must not know who reads them.
//!
//! Window after window, each series has the same number of ticks in each. Series `i` is on
//! partition `i % partitions`. The last record of a partition is the first of one window more, which
//! closes the window before it.

use std::io::Write;

use serde_json::{Value, json};

use super::client::{Sender, Topic, create, now_s};

const START_US: i64 = 1_704_067_200_000_000;
const WINDOW_US: i64 = 60_000_000;

/// The next tick of each series: a price that walks, a size. The same in every run.
pub struct Ticks {
    prices: Vec<i32>,
    random: u64,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Ticks {
    pub fn new(series: usize) -> Self {
        let prices = (0..series).map(|i| 5_000 + (i % 1_000) as i32 * 10).collect();
        Ticks { prices, random: 0x9e37_79b9_7f4a_7c15, key: Vec::new(), value: Vec::new() }
    }

    /// Key and value of the next tick of a series.
    pub fn next(&mut self, series: usize, time_us: i64) -> (&[u8], &[u8]) {
        // Xorshift: Marsaglia (2003), 64 bits.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let price = &mut self.prices[series];
        *price = (*price + (self.random % 11) as i32 - 5).max(1_000);
        let (units, cents, size) = (*price / 100, *price % 100, self.random >> 57);

        self.key.clear();
        write!(self.key, "s{series:06}").expect("room in memory");
        self.value.clear();
        write!(
            self.value,
            "{{\"key\":\"s{series:06}\",\"time\":{time_us},\"price\":{units}.{cents:02},\"size\":{size}}}"
        )
        .expect("room in memory");
        (&self.key, &self.value)
    }
}

/// Makes a topic and fills it.
pub fn fill(topic: &Topic, series: usize, in_window: usize, windows: usize) -> Value {
    create(topic);
    let (sender, mut ticks, from) = (Sender::new(topic, 50), Ticks::new(series), now_s());
    let (mut records, mut bytes) = (0_u64, 0_u64);
    let mut send = |series: usize, time_us: i64| {
        let (key, value) = ticks.next(series, time_us);
        sender.send((series % topic.partitions as usize) as i32, key, value);
        (records, bytes) = (records + 1, bytes + value.len() as u64);
    };

    let rounds = (windows * in_window) as i64;
    let apart_us = WINDOW_US / in_window as i64;
    for round in 0..rounds {
        for one in 0..series {
            send(one, START_US + round * apart_us + apart_us * one as i64 / series as i64);
        }
    }
    for first in 0..topic.partitions as usize {
        send(first, START_US + windows as i64 * WINDOW_US);
    }
    sender.finish();
    json!({ "records": records, "value_bytes": bytes, "seconds": now_s() - from })
}
