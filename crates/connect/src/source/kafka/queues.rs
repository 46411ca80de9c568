//! The queues of a consumer's partitions: which of them is emptied next, and waiting for the next
//! record.
//! It must not know what a record is, nor which partitions are ours.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use rdkafka::consumer::BaseConsumer;
use tickcast_stream::PartitionId;
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::lock::lock;

use super::context::Context;
use super::partition_queue::{PartitionQueue, Queued};

/// Wakes whoever waits for a queue. librdkafka's threads ring it while they hold a queue's lock: no
/// call of the library is made under its own.
#[derive(Default)]
pub(super) struct Bell {
    rung: Mutex<Rung>,
    wake: Condvar,
}

/// What has happened since somebody looked.
#[derive(Default)]
struct Rung {
    is_rung: bool,
    filled: Vec<PartitionId>,
}

impl Bell {
    /// Something has come: to a partition's queue, or to the consumer's own.
    pub fn ring(&self, partition: Option<PartitionId>) {
        let mut rung = lock(&self.rung);
        rung.is_rung = true;
        rung.filled.extend(partition);
        self.wake.notify_one();
    }

    /// Waits for something to come; false, when nothing has until then.
    fn wait_until(&self, end: Instant) -> bool {
        let left = end.saturating_duration_since(Instant::now());
        let waited = self.wake.wait_timeout_while(lock(&self.rung), left, |rung| !rung.is_rung);
        let (mut rung, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut rung.is_rung)
    }

    /// The partitions whose queues were filled since.
    fn filled(&self) -> Vec<PartitionId> {
        std::mem::take(&mut lock(&self.rung).filled)
    }
}

/// A queue that is ours.
struct TakenQueue {
    queue: PartitionQueue,
    is_paused: bool,
    /// Whether it is among those that have their turn.
    has_turn: bool,
}

/// The queues of all partitions that are read. Those that may have records have their turn one
/// after the other, so that one with many does not hold up the others.
pub(super) struct PartitionQueues {
    bell: Arc<Bell>,
    taken: BTreeMap<PartitionId, TakenQueue>,
    turns: VecDeque<PartitionId>,
}

impl PartitionQueues {
    /// None yet.
    pub fn new(bell: &Arc<Bell>) -> Self {
        PartitionQueues { bell: Arc::clone(bell), taken: BTreeMap::new(), turns: VecDeque::new() }
    }

    /// Takes a partition's queue, before anything is fetched of it. One that is ours already stays
    /// paused if it was. Errors: `Source`.
    pub fn take(
        &mut self,
        consumer: &Arc<BaseConsumer<Context>>,
        topic: &str,
        partition: PartitionId,
    ) -> Result<()> {
        let is_paused = self.taken.get(&partition).is_some_and(|taken| taken.is_paused);
        self.give_back(partition);

        let bell = Arc::clone(&self.bell);
        let is_filled = move || bell.ring(Some(partition));
        let queue = PartitionQueue::take(consumer, topic, partition.0, is_filled)
            .ok_or_else(|| Error::new(Kind::Source, format!("topic {topic} has no partition {partition}")))?;
        self.taken.insert(partition, TakenQueue { queue, is_paused, has_turn: false });
        self.give_turn(partition);
        Ok(())
    }

    /// A partition is not fetched any more: what still waits of it is no longer needed.
    pub fn give_back(&mut self, partition: PartitionId) {
        if let Some(taken) = self.taken.remove(&partition) {
            self.turns.retain(|&id| id != partition);
            taken.queue.discard();
        }
    }

    /// A queue that is paused is not emptied; nothing that waits in it is lost.
    pub fn set_paused(&mut self, partition: PartitionId, paused: bool) {
        if let Some(taken) = self.taken.get_mut(&partition) {
            taken.is_paused = paused;
            // What has come meanwhile has rung in vain.
            self.give_turn(partition);
        }
    }

    /// The partition whose turn it is; none, when the queues of all that are not paused are empty.
    pub fn next_turn(&mut self) -> Option<PartitionId> {
        for partition in self.bell.filled() {
            self.give_turn(partition);
        }
        while let Some(partition) = self.turns.pop_front() {
            if let Some(taken) = self.taken.get_mut(&partition) {
                taken.has_turn = false;
                if !taken.is_paused {
                    return Some(partition);
                }
            }
        }
        None
    }

    /// As [`PartitionQueue::drain`]. A queue that is not empty then needs its next turn given.
    pub fn drain(&self, partition: PartitionId, most: usize, each: &mut dyn FnMut(Queued<'_>)) -> bool {
        self.taken.get(&partition).is_some_and(|taken| taken.queue.drain(most, each))
    }

    /// A queue may have records: it has its turn after all that have one.
    pub fn give_turn(&mut self, partition: PartitionId) {
        if let Some(taken) = self.taken.get_mut(&partition)
            && !taken.is_paused
            && !std::mem::replace(&mut taken.has_turn, true)
        {
            self.turns.push_back(partition);
        }
    }

    /// Waits for something to come to a queue; false, when nothing has until then.
    pub fn wait_until(&self, end: Instant) -> bool {
        self.bell.wait_until(end)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::kafka::{KafkaClientSpec, client_config, create};

    const IDS: [PartitionId; 3] = [PartitionId(0), PartitionId(1), PartitionId(2)];

    /// The queues of three partitions of a topic of which no broker says anything.
    fn queues(bell: &Arc<Bell>) -> (PartitionQueues, Arc<BaseConsumer<Context>>) {
        let client = KafkaClientSpec { brokers: "127.0.0.1:1".to_owned(), ..KafkaClientSpec::default() };
        let config = client_config(&client, &[("group.id", "g")]);
        let consumer: Arc<BaseConsumer<Context>> = Arc::new(create(&config, Context::default()).unwrap());
        let mut queues = PartitionQueues::new(bell);
        IDS.iter().for_each(|&id| queues.take(&consumer, "t", id).unwrap());
        (queues, consumer)
    }

    #[test]
    fn each_queue_has_its_turn_and_one_that_is_paused_has_none() {
        let bell = Arc::new(Bell::default());
        let (mut queues, _consumer) = queues(&bell);
        let [first, second, third] = IDS;
        assert_eq!(queues.next_turn(), Some(first));
        queues.give_turn(first);
        queues.set_paused(second, true);
        assert_eq!(
            [queues.next_turn(), queues.next_turn(), queues.next_turn()],
            [Some(third), Some(first), None]
        );

        // It is filled while it is paused.
        [second, second, third].into_iter().for_each(|id| bell.ring(Some(id)));
        assert_eq!([queues.next_turn(), queues.next_turn()], [Some(third), None]);
        queues.set_paused(second, false);
        queues.set_paused(second, false);
        assert_eq!([queues.next_turn(), queues.next_turn()], [Some(second), None]);
    }

    #[test]
    fn a_queue_that_is_taken_again_stays_paused_until_it_was_given_back() {
        let bell = Arc::new(Bell::default());
        let (mut queues, consumer) = queues(&bell);
        while queues.next_turn().is_some() {}
        queues.set_paused(IDS[0], true);
        queues.take(&consumer, "t", IDS[0]).unwrap();
        assert_eq!(queues.next_turn(), None);

        queues.give_back(IDS[0]);
        bell.ring(Some(IDS[0]));
        assert_eq!(queues.next_turn(), None, "it is ours no more");
        assert!(!queues.drain(IDS[0], 1, &mut |_| panic!("it is ours no more")));
        queues.take(&consumer, "t", IDS[0]).unwrap();
        assert_eq!(queues.next_turn(), Some(IDS[0]));
        assert!(!queues.drain(IDS[0], 1, &mut |_| panic!("it is empty")));
    }

    #[test]
    fn who_waits_is_woken_by_the_bell_also_when_it_rang_before() {
        let bell = Arc::new(Bell::default());
        let far = Instant::now() + Duration::from_secs(100);
        bell.ring(None);
        assert!(bell.wait_until(far) && !bell.wait_until(Instant::now()));
        let other = Arc::clone(&bell);
        let ringing = thread::spawn(move || other.ring(Some(IDS[0])));
        assert!(bell.wait_until(far));
        assert_eq!(bell.filled(), [IDS[0]]);
        ringing.join().unwrap();
    }
}
