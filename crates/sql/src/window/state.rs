//! All that the window operator remembers, and which series it forgets where there are too many.
//! It must not aggregate.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use tickcast_stream::error::Result;
use tickcast_stream::message::EventTime;
use tickcast_stream::{new_places, who_stays};

use super::aggregate::{OpenWindow, RowSet, SeriesId};
use super::assign::WindowProgress;
use super::last_readings::LastReadings;
use super::pick::pick;
use super::plan::Aggregation;

/// All that the operator remembers.
#[derive(Debug, Default, Clone)]
pub(super) struct WindowState {
    pub progress: Option<WindowProgress>,
    /// Every series of the partition in the order in which it was first seen.
    pub series: RowSet<Arc<str>>,
    /// Of each series, the start of the newest window that it has spoken in.
    pub spoke_in: Vec<EventTime>,
    /// Open windows by their start.
    pub open: BTreeMap<EventTime, OpenWindow>,
    /// Of meters, the last readings before the open windows.
    pub last_readings: LastReadings,
    /// The newest row of every series that is still carried.
    pub last: Option<SeriesRows>,
    /// The start of the newest window that closed.
    pub closed_to: Option<EventTime>,
    /// Windows that have closed since the first record.
    pub windows_closed: u64,
    /// Selected columns of closed windows that could not be computed, since the first record.
    pub expressions_failed: u64,
    /// Series that were forgotten since the first record.
    pub series_forgotten: u64,
}

/// A row a series, in order of series.
#[derive(Debug, Clone)]
pub(super) struct SeriesRows {
    /// The series of each row.
    pub ids: Vec<SeriesId>,
    /// The start of the window in which the row was made.
    pub spoke_at: Vec<EventTime>,
    /// The selected columns.
    pub columns: RecordBatch,
}

impl WindowState {
    /// The place of a series that is not known yet.
    pub fn add_series(&mut self, name: &str) -> SeriesId {
        self.spoke_in.push(EventTime::MIN);
        self.series.insert_full(name.into()).0 as SeriesId
    }

    /// The name of a series.
    pub fn name(&self, id: SeriesId) -> &str {
        self.series.get_index(id as usize).map_or("", |name| name)
    }

    /// A record of a series belongs to the window with this start.
    pub fn has_spoken(&mut self, id: SeriesId, start: EventTime) {
        let newest = &mut self.spoke_in[id as usize];
        *newest = start.max(*newest);
    }

    /// Makes room for another series among `most`: those that have been silent for longest are
    /// forgotten, with them their rows in open windows. All others move up. Errors: `Query`.
    pub fn make_room(&mut self, most: usize, aggregation: &Aggregation) -> Result<()> {
        let stays = who_stays(self.series.len(), 1, most, |id| Some(self.spoke_in[id]));
        let places = new_places(&stays);
        self.move_to(&places, aggregation)?;
        self.series_forgotten += stays.iter().filter(|stays| !**stays).count() as u64;
        Ok(())
    }

    /// Gives each series its new place, in the same order; one without a place is gone.
    fn move_to(&mut self, places: &[Option<SeriesId>], aggregation: &Aggregation) -> Result<()> {
        let mut kept = places.iter().map(Option::is_some);
        self.series.retain(|_| kept.next().unwrap_or(false));
        let mut kept = places.iter().map(Option::is_some);
        self.spoke_in.retain(|_| kept.next().unwrap_or(false));

        self.open.values_mut().try_for_each(|window| window.move_to(places, aggregation))?;
        self.open.retain(|_, window| !window.series.is_empty());
        self.last_readings.move_to(places);
        self.last = self.last.take().map(|last| last.move_to(places)).transpose()?;
        Ok(())
    }
}

impl SeriesRows {
    fn move_to(self, places: &[Option<SeriesId>]) -> Result<SeriesRows> {
        let rows = self.ids.iter().enumerate();
        let (rows, ids): (Vec<u32>, Vec<SeriesId>) =
            rows.filter_map(|(row, &id)| Some((row as u32, (*places.get(id as usize)?)?))).unzip();
        let spoke_at = rows.iter().map(|&row| self.spoke_at[row as usize]).collect();
        Ok(SeriesRows { ids, spoke_at, columns: pick(&self.columns, &rows)? })
    }
}
