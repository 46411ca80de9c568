//! All that is remembered of series and their open windows, and which series are forgotten where
//! there are too many.
//! It must not aggregate, nor decide when a window closes.

use std::sync::Arc;

use indexmap::IndexMap;
use tickcast_stream::message::EventTime;
use tickcast_stream::{new_places, who_stays};

use super::super::aggregate::SeriesId;
use super::super::last_readings::LastReadings;
use super::super::pool::WindowRows;
use super::clock::Clock;
use super::rule::Span;

/// Series by their names, in the order in which the partition first saw them. It is asked once a
/// row: see `RowSet`.
pub(super) type SeriesMap<T> = IndexMap<Arc<str>, T, foldhash::fast::RandomState>;

/// One series.
#[derive(Debug, Clone)]
pub(super) struct OwnSeries {
    /// Its newest record, counted among all that were taken.
    pub seen: u64,
    /// When its newest closed session ended.
    pub closed_to: EventTime,
    /// Its open window.
    pub open: Option<OwnWindow>,
}

/// An open window.
#[derive(Debug, Clone)]
pub(super) struct OwnWindow {
    /// Its records.
    pub span: Span,
    /// The end at which its clock looks after it.
    pub due: EventTime,
    /// What is known of its rows.
    pub rows: WindowRows,
}

/// A window that has closed and is not put out yet.
pub(super) struct ClosedOwn {
    /// Whose it was.
    pub series: SeriesId,
    /// Its place among all windows that have closed.
    pub number: i64,
    /// When it began.
    pub start: EventTime,
    /// When it ended.
    pub end: EventTime,
    /// What is known of its rows.
    pub rows: WindowRows,
}

/// All that the operator remembers beside aggregates.
#[derive(Debug, Clone)]
pub(super) struct OwnState {
    /// Every series.
    pub series: SeriesMap<OwnSeries>,
    /// One for the partition, or one a series in their order.
    pub clocks: Vec<Clock>,
    /// What can be counted again.
    pub counts: OpenCounts,
    /// Records that were taken since the first.
    pub taken: u64,
    /// Of meters, the last readings before the open windows.
    pub last_readings: LastReadings,
    /// Windows that have closed since the first record.
    pub windows_closed: u64,
    /// Selected columns of closed windows that could not be computed, since the first record.
    pub expressions_failed: u64,
    /// Series that were forgotten since the first record.
    pub series_forgotten: u64,
}

/// How much is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OpenCounts {
    /// Windows.
    pub windows: usize,
    /// Their records.
    pub records: u64,
    /// Their rows that are no part of a state yet.
    pub rows: usize,
    /// Records that wait for earlier ones.
    pub held: usize,
}

impl OwnSeries {
    /// Of which nothing was taken.
    pub fn new() -> Self {
        OwnSeries { seen: 0, closed_to: EventTime::MIN, open: None }
    }
}

impl OwnState {
    /// Nothing was seen; with clocks of their own, series bring them along.
    pub fn new(has_own_clocks: bool) -> Self {
        OwnState {
            series: SeriesMap::default(),
            clocks: if has_own_clocks { Vec::new() } else { vec![Clock::new()] },
            counts: OpenCounts::default(),
            taken: 0,
            last_readings: LastReadings::default(),
            windows_closed: 0,
            expressions_failed: 0,
            series_forgotten: 0,
        }
    }

    /// The name of a series.
    pub fn name(&self, id: SeriesId) -> &str {
        self.series.get_index(id as usize).map_or("", |(name, _)| name)
    }

    /// A record of a series was taken.
    pub fn has_spoken(&mut self, at: usize) {
        self.taken += 1;
        self.series[at].seen = self.taken;
    }

    /// Open windows in the order of their series.
    pub fn open(&self) -> impl Iterator<Item = &OwnWindow> {
        self.series.values().filter_map(|series| series.open.as_ref())
    }

    /// Counts what is open.
    pub fn count(&mut self) {
        let mut counts = OpenCounts::default();
        for window in self.open() {
            counts.windows += 1;
            counts.records += window.span.records;
            counts.rows += window.rows.since.len();
        }
        counts.held = self.clocks.iter().map(Clock::waiting).sum();
        self.counts = counts;
    }

    /// Makes room for another series among `most`: those that have been silent for longest are
    /// forgotten, with them their open windows. All others move up.
    pub fn make_room(&mut self, most: usize, has_own_clocks: bool) {
        let stays = who_stays(self.series.len(), 1, most, |at| Some(self.series[at].seen));
        let places = new_places(&stays);

        let mut kept = stays.iter();
        self.series.retain(|_, _| kept.next().copied().unwrap_or(true));
        if has_own_clocks {
            let mut kept = stays.iter();
            self.clocks.retain(|_| kept.next().copied().unwrap_or(true));
        }
        self.clocks.iter_mut().for_each(|clock| clock.move_to(&places));
        self.last_readings.move_to(&places);
        self.series_forgotten += stays.iter().filter(|stays| !**stays).count() as u64;
        self.count();
    }
}
