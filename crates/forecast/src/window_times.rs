//! When a closed window ended, and the windows that its forecasts come from and lead to.
//! It must not know how windows are laid out.

use crate::time::EventTime;

/// Ends of windows around one that has closed.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowTimes {
    /// The end of the window.
    pub end: EventTime,
    /// By horizon: the end of the window so many windows later; empty where nobody knows.
    pub ahead: Vec<EventTime>,
    /// By horizon: the end of the window so many windows earlier; empty where only the series
    /// knows.
    pub behind: Vec<EventTime>,
}

impl WindowTimes {
    /// Of a window that tells nothing of others.
    pub fn alone(end: EventTime) -> Self {
        WindowTimes { end, ahead: Vec::new(), behind: Vec::new() }
    }

    /// The end of the window that the forecast for this horizon is about.
    pub fn target(&self, horizon_idx: usize) -> Option<EventTime> {
        self.ahead.get(horizon_idx).copied()
    }

    /// The end of the window that this one's forecast for this horizon was made from.
    pub fn origin(&self, horizon_idx: usize) -> Option<EventTime> {
        self.behind.get(horizon_idx).copied()
    }
}
