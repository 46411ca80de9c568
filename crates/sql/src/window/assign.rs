//! Which pane a record falls into, which windows it closes, and whether it comes too late.
//! It must not know Arrow: times in, starts of panes and windows out.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use tickcast_stream::WindowGrid;
use tickcast_stream::message::EventTime;

use super::spec::{Stamps, WindowSpec};

/// A silent series is carried for at most this many windows; then it has no rows until it speaks
/// again. The bound keeps one record far ahead from making an endless run of windows.
const CARRY_WINDOWS: i64 = 256;

/// When windows begin, end and close.
#[derive(Debug, Clone)]
pub struct Windows {
    /// Where they begin and end.
    pub grid: WindowGrid,
    /// How long a window waits for late records, in microseconds, >= 0.
    pub lateness_us: i64,
    /// What the time of a record is.
    pub stamps: Stamps,
}

impl Windows {
    /// The windows of a spec on this grid.
    pub fn new(spec: &WindowSpec, grid: WindowGrid) -> Self {
        Windows { grid, lateness_us: spec.lateness_us, stamps: spec.stamps }
    }

    /// The start of the first window that is open at this watermark: every one before it has
    /// ended.
    pub fn frontier_at(&self, watermark: EventTime) -> EventTime {
        self.grid.start_of(self.grid.first_window_of(self.grid.pane_of(watermark)))
    }

    /// The same for a watermark from outside, which ends all windows when the input does.
    pub fn frontier_of(&self, watermark: EventTime) -> EventTime {
        if watermark == EventTime::MAX { watermark } else { self.frontier_at(watermark) }
    }

    /// Where the frontier is once windows before `frontier` have closed, the newest of them the one
    /// that starts at `closed_to`. An input that has ended may have grown when it is read again:
    /// then only what has closed is closed.
    pub fn closed_up_to(&self, frontier: EventTime, closed_to: Option<EventTime>) -> EventTime {
        match frontier {
            EventTime::MAX => closed_to.map_or(EventTime::MIN, |start| self.start_after(start)),
            frontier => frontier,
        }
    }

    /// The start of the window after the one that starts at this time.
    pub fn start_after(&self, start: EventTime) -> EventTime {
        self.grid.start_of(self.grid.window_at(start).saturating_add(1))
    }

    /// When the window ends that starts at this time.
    pub fn end_of(&self, start: EventTime) -> EventTime {
        self.grid.end_of(self.grid.window_at(start))
    }

    /// The start of the first window with the pane that starts at this time.
    pub fn first_with(&self, pane: EventTime) -> EventTime {
        let grid = &self.grid;
        if grid.span() == 1 { pane } else { grid.start_of(grid.first_window_of(grid.pane_of(pane))) }
    }

    /// The start of the oldest window whose rows are carried into the one that starts at this time.
    pub fn carried_from(&self, start: EventTime) -> EventTime {
        self.grid.start_of(self.grid.window_at(start).saturating_sub(CARRY_WINDOWS))
    }

    /// Start and end of the last window that holds this time.
    pub fn last_of(&self, time: EventTime) -> Range<EventTime> {
        let window = self.grid.window_at(time);
        self.grid.start_of(window)..self.grid.end_of(window)
    }
}

/// How far the partition's event time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowProgress {
    /// The latest event time taken in.
    pub latest: EventTime,
    /// Windows that start before it have closed.
    pub frontier: EventTime,
}

impl WindowProgress {
    /// Nothing was seen, and nothing has closed.
    pub const START: WindowProgress = WindowProgress { latest: EventTime::MIN, frontier: EventTime::MIN };
}

/// Windows that close: those that start in [from, to).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closes {
    /// The start of the first window that was open.
    pub from: EventTime,
    /// The start of the first one that stays open.
    pub to: EventTime,
}

impl Closes {
    /// The start of the one that closes next. `opened`: of the first of them with records;
    /// `silent`: of the first in which somebody is carried.
    pub fn next(&self, opened: Option<EventTime>, silent: Option<EventTime>) -> Option<EventTime> {
        let opened = opened.filter(|&start| start < self.to);
        // Silent windows end with the frontier, or, when the input ends, with the last window that
        // has records.
        let silent = silent.filter(|&start| start < opened.unwrap_or(self.to));
        silent.filter(|_| opened.is_some() || self.to != EventTime::MAX).or(opened)
    }
}

/// What a record does, judged when it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// It belongs to the pane with this start, of open windows.
    Open(EventTime),
    /// First every window of `closes` closes; then the record belongs to the pane with this start.
    Closes {
        /// The windows that close.
        closes: Closes,
        /// The start of the record's pane.
        pane: EventTime,
    },
    /// All of its windows have closed.
    Late,
}

/// Judges records one after the other. Most of them are of the pane of the one before, and close
/// nothing: for those it compares, and asks no calendar.
#[derive(Debug, Clone)]
pub struct Assigner {
    /// How far it has come.
    pub progress: WindowProgress,
    /// The first time at which another window closes.
    closes_at: EventTime,
    /// The pane of the newest record.
    pane: Range<EventTime>,
}

impl Assigner {
    /// An assigner to these windows that goes on from where `progress` is.
    pub fn new(windows: &Windows, progress: WindowProgress) -> Self {
        let (closes_at, pane) = (EventTime::MIN, EventTime::MAX..EventTime::MAX);
        let mut assigner = Assigner { progress, closes_at, pane };
        if progress != WindowProgress::START {
            assigner.look_ahead(windows);
        }
        assigner
    }

    /// A window [s, e) closes at the first record with `t >= e + lateness`.
    fn look_ahead(&mut self, windows: &Windows) {
        self.closes_at = windows.end_of(self.progress.frontier).plus_us(windows.lateness_us);
    }

    /// Judges one record and moves on, through the windows that it was made for.
    #[inline]
    pub fn take(&mut self, windows: &Windows, time: EventTime) -> Placement {
        self.progress.latest = self.progress.latest.max(time);
        let time = time.plus_us(-windows.stamps.earlier_us());
        if time >= self.closes_at
            && let Some(closes) = self.advance(windows, time)
        {
            return closes;
        }
        if time < self.progress.frontier {
            Placement::Late
        } else {
            Placement::Open(self.pane_of(windows, time))
        }
    }

    fn advance(&mut self, windows: &Windows, time: EventTime) -> Option<Placement> {
        let frontier = windows.frontier_at(time.plus_us(-windows.lateness_us));
        if frontier <= self.progress.frontier {
            return None;
        }
        let closes = Closes { from: self.progress.frontier, to: frontier };
        self.progress.frontier = frontier;
        self.look_ahead(windows);
        let pane = self.pane_of(windows, time);
        // Before the first record nothing is open, so nothing closes.
        let is_first = closes.from == EventTime::MIN;
        Some(if is_first { Placement::Open(pane) } else { Placement::Closes { closes, pane } })
    }

    fn pane_of(&mut self, windows: &Windows, time: EventTime) -> EventTime {
        if !self.pane.contains(&time) {
            let grid = &windows.grid;
            let pane = grid.pane_of(time);
            self.pane = grid.pane_start(pane)..grid.pane_start(pane.saturating_add(1));
        }
        self.pane.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(stamps: Stamps) -> Windows {
        Windows { grid: 60.into(), lateness_us: 10, stamps }
    }

    fn verdicts(windows: &Windows, times: &[i64]) -> Vec<Placement> {
        let mut assigner = Assigner::new(windows, WindowProgress::START);
        times.iter().map(|&time| assigner.take(windows, EventTime(time))).collect()
    }

    fn open(pane: i64) -> Placement {
        Placement::Open(EventTime(pane))
    }

    fn closes(from: i64, to: i64, pane: i64) -> Placement {
        let closes = Closes { from: EventTime(from), to: EventTime(to) };
        Placement::Closes { closes, pane: EventTime(pane) }
    }

    #[test]
    fn a_window_closes_at_the_first_record_at_its_end_plus_lateness() {
        assert_eq!(
            verdicts(&minutes(Stamps::Start), &[10, 59, 60, 69, 13, 70, 13, 60]),
            vec![
                open(0),
                open(0),
                open(60),
                open(60),
                open(0), // t = 13 waits: 69 < 60 + 10
                closes(0, 60, 60),
                Placement::Late,
                open(60),
            ]
        );
    }

    /// A reading of the interval that ends at 60 belongs to the window that ends there, and only
    /// one after its end plus lateness closes that.
    #[test]
    fn stamps_at_the_end_of_an_interval_belong_to_the_window_that_ends_there() {
        assert_eq!(
            verdicts(&minutes(Stamps::End), &[30, 60, 61, 70, 71, 60, 120]),
            vec![open(0), open(0), open(60), open(60), closes(0, 60, 60), Placement::Late, open(60)]
        );
    }

    #[test]
    fn times_before_the_epoch_fall_into_the_window_below() {
        let windows = minutes(Stamps::Start);
        assert_eq!(verdicts(&windows, &[-61, -60, -1]), [open(-120), open(-60), closes(-120, -60, -60)]);
    }

    /// An assigner is made anew for each batch.
    #[test]
    fn one_that_goes_on_judges_as_one_that_never_stopped() {
        let times: Vec<i64> = (0..400).map(|n| n * 7 + n * n % 83).collect();
        let windows = minutes(Stamps::Start);
        let mut progress = WindowProgress::START;
        let anew: Vec<Placement> = times
            .iter()
            .map(|&time| {
                let mut assigner = Assigner::new(&windows, progress);
                let placement = assigner.take(&windows, EventTime(time));
                progress = assigner.progress;
                placement
            })
            .collect();
        assert_eq!(anew, verdicts(&windows, &times));
    }
}
