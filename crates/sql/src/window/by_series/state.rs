//! All that is remembered of series and their windows, and which series are forgotten where there
//! are too many.
//! It must not aggregate, nor decide when a window closes.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use tickcast_stream::message::EventTime;
use tickcast_stream::{new_places, who_stays};

use super::super::aggregate::SeriesId;
use super::super::assign::{Assigner, WindowProgress, Windows};
use super::super::last_readings::LastReadings;
use super::super::pool::WindowRows;

/// Series by their names, in the order in which the partition first saw them.
pub(super) type SeriesMap = IndexMap<Arc<str>, OneSeries, foldhash::fast::RandomState>;

/// One series.
#[derive(Debug, Clone)]
pub(super) struct OneSeries {
    /// How far its event time has come.
    pub assigner: Assigner,
    /// The start of the newest pane that it has spoken in.
    pub spoke_in: EventTime,
    /// Panes of windows that are open, by their start.
    pub open: BTreeMap<EventTime, WindowRows>,
    /// The start of its newest closed window.
    pub closed_to: Option<EventTime>,
    /// While its newest row is carried, the start of the window in which that was made.
    pub carried: Option<EventTime>,
    /// The place of that row.
    pub last_row: u32,
}

/// A window that has closed and is not put out yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClosedWindow {
    /// Whose it is.
    pub series: SeriesId,
    /// When it began.
    pub start: EventTime,
    /// The start of the window in which its row was made.
    pub spoke_at: EventTime,
}

/// All that the operator remembers beside rows and aggregates.
#[derive(Debug, Clone, Default)]
pub(super) struct SeriesState {
    /// Every series.
    pub series: SeriesMap,
    /// Open panes: can be counted again.
    pub panes: usize,
    /// Their rows that are no part of a state yet: as above.
    pub rows: usize,
    /// Of meters, the last readings before the open windows.
    pub last_readings: LastReadings,
    /// Windows that have closed since the first record.
    pub windows_closed: u64,
    /// Selected columns of closed windows that could not be computed, since the first record.
    pub expressions_failed: u64,
    /// Series that were forgotten since the first record.
    pub series_forgotten: u64,
}

impl ClosedWindow {
    /// Whether the series has spoken in it.
    pub fn has_records(&self) -> bool {
        self.spoke_at == self.start
    }
}

impl OneSeries {
    /// Of which nothing was taken.
    pub fn new(windows: &Windows) -> Self {
        OneSeries {
            assigner: Assigner::new(windows, WindowProgress::START),
            spoke_in: EventTime::MIN,
            open: BTreeMap::new(),
            closed_to: None,
            carried: None,
            last_row: 0,
        }
    }

    /// Its latest time; none before its first record.
    pub fn latest(&self) -> Option<EventTime> {
        let WindowProgress { latest, .. } = self.assigner.progress;
        (latest != EventTime::MIN).then_some(latest)
    }
}

impl SeriesState {
    /// The name of a series.
    pub fn name(&self, id: SeriesId) -> &str {
        self.series.get_index(id as usize).map_or("", |(name, _)| name)
    }

    /// Open panes in the order of their series and of time.
    pub fn open(&self) -> impl Iterator<Item = &WindowRows> {
        self.series.values().flat_map(|series| series.open.values())
    }

    /// The same.
    pub fn open_mut(&mut self) -> impl Iterator<Item = &mut WindowRows> {
        self.series.values_mut().flat_map(|series| series.open.values_mut())
    }

    /// Takes the pane of a series that starts then away.
    pub fn take_pane(&mut self, id: SeriesId, start: EventTime) -> Option<WindowRows> {
        let pane = self.series[id as usize].open.remove(&start)?;
        self.panes -= 1;
        self.rows -= pane.since.len();
        Some(pane)
    }

    /// Counts what is open.
    pub fn count(&mut self) {
        self.panes = self.open().count();
        self.rows = self.open().map(|pane| pane.since.len()).sum();
    }

    /// Makes room for another series among `most`: those that have been silent for longest are
    /// forgotten, with them their open windows. All others move up.
    pub fn make_room(&mut self, most: usize) {
        let stays = who_stays(self.series.len(), 1, most, |at| Some(self.series[at].spoke_in));
        let mut kept = stays.iter();
        self.series.retain(|_, _| kept.next().copied().unwrap_or(true));

        self.last_readings.move_to(&new_places(&stays));
        self.series_forgotten += stays.iter().filter(|stays| !**stays).count() as u64;
        self.count();
    }
}
