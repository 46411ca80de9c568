//! A Kafka source whose reader takes less than comes: what is fetched of it, who keeps its
//! partitions, and whose turn it is. The file must not know what reads the records.

use std::collections::BTreeMap;
use std::iter::repeat_n;
use std::time::{Duration, Instant};

use tickcast_connect::{KafkaClientSpec, KafkaSource, KafkaSourceSpec, OnLoss, StartFrom};
use tickcast_stream::message::Records;
use tickcast_stream::source::{Event, Source};
use tickcast_stream::{Offset, PartitionId};

use crate::support::broker::brokers_or_skip;
use crate::support::kafka::{create_topic, produce};
use crate::support::wait::wait_till;

const PARTITIONS: [PartitionId; 2] = [PartitionId(0), PartitionId(1)];

/// A source, and what has come of it.
struct Reading {
    source: KafkaSource,
    read: BTreeMap<PartitionId, Vec<Offset>>,
    rebalances: usize,
}

impl Reading {
    fn of(addr: &str, topic: &str, batch: usize, properties: &[(&str, &str)]) -> Self {
        let properties =
            properties.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let spec = KafkaSourceSpec {
            client: KafkaClientSpec { brokers: addr.to_owned(), properties, ..KafkaClientSpec::default() },
            topic: topic.to_owned(),
            group: topic.to_owned(),
            start: StartFrom::Earliest,
            on_loss: OnLoss::Stop,
        };
        let source =
            KafkaSource::open(&spec, PARTITIONS.len() as i32, None).unwrap().with_batch_records(batch);
        Reading { source, read: BTreeMap::new(), rebalances: 0 }
    }

    /// Takes an event; the partition whose records came.
    fn poll(&mut self) -> Option<PartitionId> {
        match self.source.poll(Duration::from_millis(10)).unwrap() {
            Event::Assigned(ids) => {
                self.rebalances += 1;
                ids.into_iter().for_each(|id| self.source.start(id, None).unwrap());
                None
            }
            Event::Records { partition, records: Records::Raw(records) } => {
                self.read.entry(partition).or_default().extend(records.iter().map(|record| record.offset));
                Some(partition)
            }
            Event::Idle { .. } => None,
            other => panic!("{other:?}"),
        }
    }

    fn pause_all(&mut self, paused: bool) {
        PARTITIONS.iter().for_each(|&id| self.source.set_paused(id, paused).unwrap());
    }

    fn count(&self, partition: PartitionId) -> usize {
        self.read.get(&partition).map_or(0, Vec::len)
    }

    /// Whether so many records of each partition have come, each once and in order.
    fn has_all(&self, expected: usize) -> bool {
        let in_order = |id: &PartitionId| {
            let read = self.read.get(id).into_iter().flatten();
            read.eq((0..expected as i64).map(Offset).collect::<Vec<_>>().iter())
        };
        PARTITIONS.iter().all(in_order)
    }
}

/// Found by: a measurement. A reader that had fallen behind paused its partitions. That threw away
/// what was fetched ahead of it, and 20 MB of a topic were fetched as 150 MB.
#[test]
fn what_waits_for_a_slow_reader_is_fetched_once() {
    let Some(addr) = brokers_or_skip() else { return };
    let (id, value, count) = ("slow-reader", [b'x'; 500], 10_000);
    create_topic(addr, id, 2);
    PARTITIONS.iter().for_each(|&partition| produce(addr, id, partition, repeat_n(&value[..], count)));
    let sent = (PARTITIONS.len() * count * value.len()) as u64;

    let mut reading = Reading::of(addr, id, 500, &[]);
    wait_till("all records", || {
        match reading.poll() {
            Some(partition) => reading.source.set_paused(partition, true).unwrap(),
            None => reading.pause_all(false),
        }
        reading.has_all(count)
    });

    let before = reading.source.received_bytes();
    wait_till("the bytes", || {
        reading.poll();
        let received = reading.source.received_bytes();
        received != before && received >= sent
    });
    let received = reading.source.received_bytes();
    assert!(received * 10 <= sent * 13, "{sent} bytes were received as {received}");
}

#[test]
fn a_reader_that_takes_nothing_for_long_keeps_its_partitions_and_its_place() {
    let Some(addr) = brokers_or_skip() else { return };
    let (id, count, interval) = ("stalled-reader", 300, Duration::from_millis(2000));
    create_topic(addr, id, 2);
    PARTITIONS.iter().for_each(|&partition| produce(addr, id, partition, repeat_n(&b"x"[..], count)));
    let properties =
        [("session.timeout.ms", "1500"), ("heartbeat.interval.ms", "400"), ("max.poll.interval.ms", "2000")];
    let mut reading = Reading::of(addr, id, 10, &properties);
    wait_till("records of both", || {
        reading.poll();
        PARTITIONS.iter().all(|&partition| reading.count(partition) > 0)
    });

    reading.pause_all(true);
    // One poll may have brought a batch of each.
    while reading.poll().is_some() {}
    let read = reading.read.clone();
    let began = Instant::now();
    while began.elapsed() < interval * 2 {
        assert_eq!(reading.poll(), None, "it is paused");
    }
    assert_eq!((&reading.read, reading.rebalances), (&read, 1));

    reading.pause_all(false);
    wait_till("all records", || {
        reading.poll();
        reading.has_all(count)
    });
    assert_eq!(reading.rebalances, 1);
}

#[test]
fn a_partition_with_a_hundred_times_the_records_does_not_hold_up_the_other() {
    let Some(addr) = brokers_or_skip() else { return };
    let (id, batch, few) = ("uneven", 50, 200);
    let [heavy, light] = PARTITIONS;
    create_topic(addr, id, 2);
    for (partition, count) in [(heavy, few * 100), (light, few)] {
        produce(addr, id, partition, repeat_n(&b"some bytes of a record"[..], count));
    }

    let mut reading = Reading::of(addr, id, batch, &[]);
    wait_till("the first record of the light one", || {
        reading.poll();
        reading.count(light) > 0
    });
    let before = reading.count(heavy);
    wait_till("all of the light one", || {
        reading.poll();
        reading.count(light) == few
    });
    let turns = (reading.count(heavy) - before) / batch;
    assert!(turns <= 2 * few / batch, "{turns} turns of the heavy one");
}
