//! How windows follow each other: on a grid that all series share, or in each series its own.
//! It must not know what opens or closes one.

use crate::grid::WindowGrid;
use crate::horizon::Horizon;
use crate::time::EventTime;
use crate::window::ClosedWindow;
use crate::window_times::WindowTimes;

/// How windows follow each other.
#[derive(Debug, Clone, PartialEq)]
pub enum WindowOrder {
    /// On a grid that all series share.
    Grid(WindowGrid),
    /// Each series has windows of its own, such as sessions: they are numbered as they close, and
    /// nobody knows when the next one will end.
    BySeries,
}

impl From<WindowGrid> for WindowOrder {
    fn from(grid: WindowGrid) -> Self {
        WindowOrder::Grid(grid)
    }
}

/// Windows of so many microseconds that follow each other from the Unix epoch on.
impl From<i64> for WindowOrder {
    fn from(size_us: i64) -> Self {
        WindowOrder::Grid(size_us.into())
    }
}

impl WindowOrder {
    /// The number of a window among those of its series, which has had `count` with this one: the
    /// next one of the series has the next number.
    pub(crate) fn number_of(&self, window: ClosedWindow, count: u64) -> i64 {
        match self {
            WindowOrder::Grid(_) => window.number,
            WindowOrder::BySeries => i64::try_from(count).unwrap_or(i64::MAX),
        }
    }

    /// When a window ended, and those around it do.
    pub(crate) fn times_of(&self, window: ClosedWindow, horizons: &[Horizon]) -> WindowTimes {
        match self {
            WindowOrder::Grid(grid) => grid.times_of(window.number, horizons),
            WindowOrder::BySeries => WindowTimes::alone(window.end),
        }
    }

    /// Whether no window lies between one that ended at `end` and the next one of its series that
    /// was seen, which ended at `next`.
    pub fn follows(&self, end: EventTime, next: EventTime) -> bool {
        match self {
            WindowOrder::Grid(grid) => grid.end_after(end) == next,
            WindowOrder::BySeries => true,
        }
    }

    /// How long so many windows are, as people say it; none where nobody knows.
    pub fn ahead(&self, horizon: Horizon) -> Option<String> {
        match self {
            WindowOrder::Grid(grid) => Some(grid.ahead(horizon)),
            WindowOrder::BySeries => None,
        }
    }
}
