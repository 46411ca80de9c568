//! What a clock has decided of a partition: where all of its windows were closed, though no record
//! said so.
//! It must not read a clock.
//!
//! A partition's output is a pure function of its records and of this. Where a partition's past
//! ends (`live`) is the first such decision; it is known before the first record, and so is part of
//! every [`Position`](super::Position). The others are told with the commit that they act in, and
//! are part of every state after them.

use serde::{Deserialize, Serialize};

use crate::place::Offset;

/// So many closes are remembered: what lies before the oldest of them can only be made again from
/// a snapshot.
const MOST: usize = 1 << 16;

/// The closes of a partition, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockLog {
    /// How many older ones there were.
    forgotten: u64,
    /// The next record to read, at each.
    closes: Vec<Offset>,
}

impl ClockLog {
    /// All windows are closed before the record at this offset; false: they were already.
    pub fn close(&mut self, at: Offset) -> bool {
        if self.last().is_some_and(|last| last >= at) {
            return false;
        }
        if self.closes.len() == MOST {
            // Half of them, so that this is seldom.
            self.closes.drain(..MOST / 2);
            self.forgotten += MOST as u64 / 2;
        }
        self.closes.push(at);
        true
    }

    /// These too, in order.
    pub fn extend(&mut self, closes: &[Offset]) {
        closes.iter().for_each(|&at| _ = self.close(at));
    }

    /// The newest close.
    pub fn last(&self) -> Option<Offset> {
        self.closes.last().copied()
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.forgotten + self.closes.len() as u64
    }

    /// Whether it goes back to the partition's first record.
    pub fn is_whole(&self) -> bool {
        self.forgotten == 0
    }

    /// Those after this one; all, after none.
    pub fn after(&self, last: Option<Offset>) -> &[Offset] {
        let from = self.closes.partition_point(|&close| Some(close) <= last);
        &self.closes[from..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_are_in_order_and_each_is_there_once() {
        let mut log = ClockLog::default();
        let new: Vec<bool> = [3, 3, 7, 5, 9].map(|at| log.close(Offset(at))).to_vec();
        assert_eq!(new, [true, false, true, false, true]);
        assert_eq!(log.after(None), [Offset(3), Offset(7), Offset(9)]);
        assert_eq!(log.after(Some(Offset(3))), [Offset(7), Offset(9)]);
        assert_eq!(log.after(Some(Offset(8))), [Offset(9)]);
        assert_eq!((log.last(), log.count(), log.is_whole()), (Some(Offset(9)), 3, true));
    }

    #[test]
    fn the_oldest_are_forgotten_where_there_are_too_many() {
        let mut log = ClockLog::default();
        (0..=MOST as i64).for_each(|at| assert!(log.close(Offset(at))));
        assert!(!log.is_whole() && log.after(None).len() <= MOST);
        assert_eq!(log.count(), MOST as u64 + 1);
        assert_eq!(log.after(None)[0], Offset(MOST as i64 / 2));
    }
}
