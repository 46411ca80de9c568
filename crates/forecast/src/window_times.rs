//! When a closed window ended, and the windows that its forecasts come from and lead to.
//! It must not know how windows are laid out.

use crate::time::EventTime;

/// Ends of windows around one that has closed.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowTimes {
    /// The end of the window.
    pub end: EventTime,
    /// By horizon: the end of the window so many windows later.
    pub ahead: Vec<EventTime>,
    /// By horizon: the end of the window so many windows earlier.
    pub behind: Vec<EventTime>,
}
