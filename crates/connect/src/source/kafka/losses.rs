//! Which record of each partition comes next, so that none is passed over without a word.
//! It must not ask a broker.

use std::collections::BTreeMap;
use std::ops::Range;

use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::source::Event;
use tickcast_stream::{Offset, PartitionId};

use super::beyond_end::PositionBeyondEnd;
use super::spec::OnLoss;

/// The reading positions of a consumer's partitions.
pub(super) struct Positions {
    topic: String,
    on_loss: OnLoss,
    next: BTreeMap<PartitionId, Offset>,
}

impl Positions {
    /// Nothing is read yet.
    pub fn new(topic: &str, on_loss: OnLoss) -> Self {
        Positions { topic: topic.to_owned(), on_loss, next: BTreeMap::new() }
    }

    /// A partition is read from there on.
    pub fn set(&mut self, partition: PartitionId, next: Offset) {
        self.next.insert(partition, next);
    }

    /// The next record of a partition, while it is read.
    pub fn get(&self, partition: PartitionId) -> Option<Offset> {
        self.next.get(&partition).copied()
    }

    /// A partition is not read any more.
    pub fn forget(&mut self, partition: PartitionId) {
        self.next.remove(&partition);
    }

    /// A position against the records that are there. Where to read on, and what was lost if
    /// anything was. Errors: `Source`, when records were lost and nobody has said to go on, or,
    /// because of [`PositionBeyondEnd`], when the log ends before the position.
    pub fn within(
        &self,
        partition: PartitionId,
        next: Offset,
        log: &Range<Offset>,
    ) -> Result<(Offset, Option<Event>)> {
        if next > log.end {
            let topic = self.topic.clone();
            let cause = PositionBeyondEnd { topic, partition, end: log.end, position: next };
            return Err(Error::new(Kind::Source, "cannot go on reading").because(cause));
        }
        if next >= log.start {
            return Ok((next, None));
        }

        match self.on_loss {
            OnLoss::Stop => Err(self.gone(partition, next..log.start)),
            OnLoss::Continue => Ok((log.start, Some(Event::Lost { partition, offsets: next..log.start }))),
        }
    }

    fn gone(&self, partition: PartitionId, offsets: Range<Offset>) -> Error {
        let (from, to, count) = (offsets.start, offsets.end.0 - 1, offsets.end.since(offsets.start));
        let what = format!(
            "topic {} partition {partition}: {count} records, from {from} to {to}, were gone before they were read: the \
             topic's retention was shorter than the reading was behind, or they were deleted. `source.kafka.on_loss: \
             continue` goes on after them, and counts them",
            self.topic
        );
        Error::new(Kind::Source, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionId = PartitionId(3);

    fn positions(on_loss: OnLoss) -> Positions {
        Positions::new("t", on_loss)
    }

    #[test]
    fn a_position_in_the_log_or_at_its_end_is_kept() {
        for at in [Offset(10), Offset(15), Offset(20)] {
            let (next, lost) = positions(OnLoss::Stop).within(P, at, &(Offset(10)..Offset(20))).unwrap();
            assert!(next == at && lost.is_none());
        }
    }

    #[test]
    fn what_is_gone_stops_the_run_or_is_told_as_the_file_says() {
        let log = Offset(10)..Offset(20);
        let said = positions(OnLoss::Stop).within(P, Offset(4), &log).unwrap_err().to_string();
        assert!(said.contains("topic t partition 3: 6 records, from 4 to 9, were gone"), "{said}");
        assert!(said.contains("on_loss: continue"), "{said}");

        let (next, lost) = positions(OnLoss::Continue).within(P, Offset(4), &log).unwrap();
        assert_eq!(next, Offset(10));
        let Some(Event::Lost { partition: P, offsets }) = lost else { panic!("{lost:?}") };
        assert_eq!(offsets, Offset(4)..Offset(10));
    }

    #[test]
    fn a_log_that_ends_before_the_position_is_another_one_whatever_the_file_says() {
        for on_loss in [OnLoss::Stop, OnLoss::Continue] {
            let said = positions(on_loss).within(P, Offset(21), &(Offset(0)..Offset(20))).unwrap_err();
            assert!(said.to_string().contains("ends at 20, but the saved position is 21"), "{said}");
        }
    }
}
