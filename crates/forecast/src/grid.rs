//! Where windows begin and end, and how they are numbered: the next one has the next number.
//! It must not know records, nor when a window closes.
//!
//! A grid is made of panes that follow each other without overlap. A window is `span` of them, and
//! begins `hop` panes after the one before it: both are 1 where windows follow each other.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::calendar_unit::{CalendarUnit, CalendarUnits};
use crate::horizon::Horizon;
use crate::time::EventTime;
use crate::window_times::WindowTimes;

/// Where windows begin and end.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowGrid {
    panes: Panes,
    /// Panes in a window, >= 1.
    span: i64,
    /// Panes from the start of a window to that of the next, >= 1.
    hop: i64,
}

/// Spans of time that follow each other.
#[derive(Debug, Clone, PartialEq)]
enum Panes {
    /// Of one length > 0, one of them beginning at the origin, in microseconds.
    Fixed { size_us: i64, origin_us: i64 },
    /// Of a calendar.
    Calendar(CalendarUnits),
}

/// Windows of so many microseconds that follow each other from the Unix epoch on.
impl From<i64> for WindowGrid {
    fn from(size_us: i64) -> Self {
        WindowGrid::fixed(size_us, 0)
    }
}

impl WindowGrid {
    /// Windows of one length in microseconds, one of them beginning at `origin_us` from the Unix
    /// epoch.
    pub fn fixed(size_us: i64, origin_us: i64) -> Self {
        WindowGrid { panes: Panes::Fixed { size_us: size_us.max(1), origin_us }, span: 1, hop: 1 }
    }

    /// A window a unit of the calendar.
    pub fn calendar(units: CalendarUnits) -> Self {
        WindowGrid { panes: Panes::Calendar(units), span: 1, hop: 1 }
    }

    /// Windows of so many panes as `self` has windows, each beginning so many after the one before:
    /// both >= 1.
    pub fn grouped(self, span: i64, hop: i64) -> Self {
        WindowGrid { panes: self.panes, span: span.max(1), hop: hop.max(1) }
    }

    /// The number of the pane that holds a time.
    pub fn pane_of(&self, time: EventTime) -> i64 {
        match &self.panes {
            Panes::Fixed { size_us, origin_us } => time.0.saturating_sub(*origin_us).div_euclid(*size_us),
            Panes::Calendar(units) => units.number_of(time),
        }
    }

    /// When a pane begins.
    pub fn pane_start(&self, pane: i64) -> EventTime {
        match &self.panes {
            Panes::Fixed { size_us, origin_us } => {
                EventTime(pane.saturating_mul(*size_us).saturating_add(*origin_us))
            }
            Panes::Calendar(units) => units.start_of(pane),
        }
    }

    /// Panes in a window.
    pub fn span(&self) -> i64 {
        self.span
    }

    /// Panes from the start of a window to that of the next.
    pub fn hop(&self) -> i64 {
        self.hop
    }

    /// The first window that holds this pane or ends after it.
    pub fn first_window_of(&self, pane: i64) -> i64 {
        pane.saturating_sub(self.span).div_euclid(self.hop) + 1
    }

    /// The window that starts at this time.
    pub fn window_at(&self, start: EventTime) -> i64 {
        self.pane_of(start).div_euclid(self.hop)
    }

    /// When a window starts.
    pub fn start_of(&self, window: i64) -> EventTime {
        self.pane_start(window.saturating_mul(self.hop))
    }

    /// When a window ends: it does not hold this time.
    pub fn end_of(&self, window: i64) -> EventTime {
        self.pane_start(window.saturating_mul(self.hop).saturating_add(self.span))
    }

    /// When a window ended, and those around it do.
    pub fn times_of(&self, window: i64, horizons: &[Horizon]) -> WindowTimes {
        let end = |steps: i64| self.end_of(window.saturating_add(steps));
        WindowTimes {
            end: end(0),
            ahead: horizons.iter().map(|&horizon| end(horizon.into())).collect(),
            behind: horizons.iter().map(|&horizon| end(-i64::from(horizon))).collect(),
        }
    }

    /// When the window ends that follows the one that ends at this time.
    pub fn end_after(&self, end: EventTime) -> EventTime {
        self.pane_start(self.pane_of(end).saturating_add(self.hop))
    }

    /// From the start of a window to that of the next, on the average, in microseconds.
    pub fn step_us(&self) -> i64 {
        self.pane_us().saturating_mul(self.hop)
    }

    /// The length of a pane, on the average, in microseconds.
    pub fn pane_us(&self) -> i64 {
        match &self.panes {
            Panes::Fixed { size_us, .. } => *size_us,
            Panes::Calendar(units) => units.unit.mean_us(),
        }
    }

    /// How long so many windows are, as people say it: `6h`, `2mo`.
    pub fn ahead(&self, horizon: Horizon) -> String {
        let windows = i64::from(horizon).saturating_mul(self.hop);
        match &self.panes {
            Panes::Fixed { size_us, .. } => {
                format!("{:#}", jiff::SignedDuration::from_micros(size_us.saturating_mul(windows)))
            }
            Panes::Calendar(units) => match units.unit {
                CalendarUnit::Days(days) => format!("{}d", windows.saturating_mul(days.into())),
                CalendarUnit::Week => format!("{windows}w"),
                CalendarUnit::Months(months) => format!("{}mo", windows.saturating_mul(months.into())),
            },
        }
    }
}

/// Its part of a pipeline's fingerprint. Windows of one length from the epoch on are as they were
/// before there were others.
impl Serialize for WindowGrid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.panes {
            Panes::Fixed { size_us, origin_us } => {
                map.serialize_entry("size_us", size_us)?;
                if *origin_us != 0 {
                    map.serialize_entry("offset_us", origin_us)?;
                }
            }
            Panes::Calendar(units) => {
                map.serialize_entry("unit", &units.unit)?;
                map.serialize_entry("zone", units.zone.iana_name().unwrap_or("UTC"))?;
                map.serialize_entry("offset_us", &units.offset_us)?;
            }
        }
        if (self.span, self.hop) != (1, 1) {
            map.serialize_entry("span", &self.span)?;
            map.serialize_entry("hop", &self.hop)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_follow_each_other_are_numbered_from_the_origin() {
        let grid = WindowGrid::fixed(60, 10);
        let at = |time| grid.window_at(EventTime(time));
        assert_eq!([9, 10, 69, 70, -51].map(at), [-1, 0, 0, 1, -2]);
        assert_eq!((grid.start_of(2), grid.end_of(2)), (EventTime(130), EventTime(190)));
        assert_eq!(grid.end_after(EventTime(190)), EventTime(250));
        let times = grid.times_of(2, &[Horizon(1), Horizon(3)]);
        assert_eq!(times.ahead, [EventTime(250), EventTime(370)]);
        assert_eq!(times.behind, [EventTime(130), EventTime(10)]);
    }

    /// Six minutes every four: panes of two, three in a window, two from one to the next.
    #[test]
    fn windows_that_overlap_are_made_of_panes() {
        let grid = WindowGrid::fixed(2, 1).grouped(3, 2);
        assert_eq!((grid.start_of(0), grid.end_of(0)), (EventTime(1), EventTime(7)));
        assert_eq!((grid.start_of(1), grid.end_of(1)), (EventTime(5), EventTime(11)));
        assert_eq!(grid.end_after(grid.end_of(0)), grid.end_of(1));
        for window in -3..3 {
            assert_eq!(grid.window_at(grid.start_of(window)), window);
            let panes = window * 2..window * 2 + 3;
            for pane in -10..10 {
                let first = (-9..9).find(|window| window * 2 + 3 > pane).unwrap();
                assert_eq!(grid.first_window_of(pane), first);
                assert!(!panes.contains(&pane) || first <= window);
            }
        }
        assert_eq!((grid.step_us(), grid.ahead(Horizon(3)).as_str()), (4, "12µs"));
    }
}
