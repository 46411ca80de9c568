//! All that the window operator remembers.
//! It must not compute.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use indexmap::IndexSet;
use tickcast_stream::message::EventTime;

use super::aggregate::{OpenWindow, SeriesId};
use super::assign::WindowProgress;

/// All that the operator remembers.
#[derive(Debug, Default, Clone)]
pub(super) struct WindowState {
    pub progress: Option<WindowProgress>,
    /// Every series of the partition in the order in which it was first seen.
    pub series: IndexSet<Arc<str>>,
    /// Open windows by their start.
    pub open: BTreeMap<EventTime, OpenWindow>,
    /// The newest row of every series that is still carried.
    pub last: Option<SeriesRows>,
    /// The start of the newest window that closed.
    pub closed_to: Option<EventTime>,
    /// Windows that have closed since the first record.
    pub windows_closed: u64,
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
