//! How far event time has come, and what waits for it: records that earlier ones may still come
//! before, and the ends of open sessions.
//! It must not know Arrow, nor what a session is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tickcast_stream::message::EventTime;

use super::super::aggregate::SeriesId;

/// Of a partition, or of one of its series.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    /// Records before it are no longer waited for.
    pub watermark: EventTime,
    /// Records up to it have been taken into their windows.
    pub settled: EventTime,
    held: BinaryHeap<Reverse<HeldRow>>,
    due: BinaryHeap<Reverse<DueEnd>>,
}

/// A record that waits: in order of time, and of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HeldRow {
    /// When it was observed.
    pub time: EventTime,
    /// Its place among the rows that are kept: one that came later has a later place.
    pub place: u32,
    /// Its series.
    pub series: SeriesId,
}

/// An end that an open session has had; more records may have moved it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DueEnd {
    /// When.
    pub end: EventTime,
    /// Of which series.
    pub series: SeriesId,
}

/// What comes next in event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tick {
    /// A record goes into its window.
    Row(HeldRow),
    /// A session may have ended.
    End(DueEnd),
}

impl Clock {
    /// Nothing was seen.
    pub fn new() -> Self {
        let (held, due) = (BinaryHeap::new(), BinaryHeap::new());
        Clock { watermark: EventTime::MIN, settled: EventTime::MIN, held, due }
    }

    /// A record waits until records before it cannot come any more.
    pub fn hold(&mut self, row: HeldRow) {
        self.held.push(Reverse(row));
    }

    /// A session ends then, unless more comes.
    pub fn expect(&mut self, due: DueEnd) {
        self.due.push(Reverse(due));
    }

    /// What comes next, up to this time: a session ends before a record of that time comes.
    pub fn tick(&mut self, to: EventTime) -> Option<Tick> {
        let row = self.held.peek().map(|Reverse(row)| row.time).filter(|&time| time <= to);
        let end = self.due.peek().map(|Reverse(due)| due.end).filter(|&end| end <= to);
        match (row, end) {
            (Some(time), Some(end)) if time < end => self.earliest().map(Tick::Row),
            (_, Some(_)) => self.due.pop().map(|Reverse(due)| Tick::End(due)),
            (Some(_), None) => self.earliest().map(Tick::Row),
            (None, None) => None,
        }
    }

    /// The earliest of the records that wait.
    pub fn earliest(&mut self) -> Option<HeldRow> {
        self.held.pop().map(|Reverse(row)| row)
    }

    /// Records that wait.
    pub fn waiting(&self) -> usize {
        self.held.len()
    }

    /// Those records, in order.
    pub fn held(&self) -> Vec<HeldRow> {
        let mut held: Vec<HeldRow> = self.held.iter().map(|Reverse(row)| *row).collect();
        held.sort_unstable();
        held
    }

    /// Puts others in their place.
    pub fn hold_instead(&mut self, held: Vec<HeldRow>) {
        self.held = held.into_iter().map(Reverse).collect();
    }

    /// Series have other places now; what is of one without a place is gone.
    pub fn move_to(&mut self, places: &[Option<SeriesId>]) {
        let place_of = |series: SeriesId| places.get(series as usize).copied().flatten();
        let row = |Reverse(row): Reverse<HeldRow>| Some(HeldRow { series: place_of(row.series)?, ..row });
        let due = |Reverse(due): Reverse<DueEnd>| Some(DueEnd { series: place_of(due.series)?, ..due });
        self.held = std::mem::take(&mut self.held).into_iter().filter_map(row).map(Reverse).collect();
        self.due = std::mem::take(&mut self.due).into_iter().filter_map(due).map(Reverse).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_ends_come_in_order_of_time_an_end_before_a_record() {
        let row = |time, place| HeldRow { time: EventTime(time), place, series: 0 };
        let due = |end, series| DueEnd { end: EventTime(end), series };
        let mut clock = Clock::new();
        [row(30, 0), row(10, 1), row(20, 2), row(20, 3)].into_iter().for_each(|row| clock.hold(row));
        [due(20, 7), due(25, 1), due(20, 4)].into_iter().for_each(|due| clock.expect(due));

        let mut ticks = Vec::new();
        ticks.extend(std::iter::from_fn(|| clock.tick(EventTime(25))));
        let expected = [
            Tick::Row(row(10, 1)),
            Tick::End(due(20, 4)),
            Tick::End(due(20, 7)),
            Tick::Row(row(20, 2)),
            Tick::Row(row(20, 3)),
            Tick::End(due(25, 1)),
        ];
        assert_eq!(ticks, expected);
        assert_eq!((clock.waiting(), clock.earliest()), (1, Some(row(30, 0))));
    }
}
