//! Tumbling windows and the frontier of closed ones, in plain integers.
//! It must not know Arrow: times in, window starts out.

use serde::{Deserialize, Serialize};
use tickcast_stream::message::EventTime;

/// Tumbling windows [s, s + size), aligned to the Unix epoch, that wait `lateness` for late
/// records.
#[derive(Debug, Clone, Copy)]
pub struct Tumbling {
    /// Length of a window in microseconds, > 0.
    pub size_us: i64,
    /// How long a window waits for late records, in microseconds, >= 0.
    pub lateness_us: i64,
}

impl Tumbling {
    /// The start of the window that holds `time`: `floor(t / size) * size`.
    pub fn start_of(&self, time: EventTime) -> EventTime {
        EventTime(time.0.div_euclid(self.size_us).saturating_mul(self.size_us))
    }

    /// The place of the window with this start among all windows.
    pub fn number_of(&self, start: EventTime) -> i64 {
        start.0.div_euclid(self.size_us)
    }

    /// The frontier when `time` has been seen: every window that starts before it has closed.
    /// A window [s, e) closes at the first record with `t >= e + lateness`, so it has closed iff
    /// `s < floor((t - lateness) / size) * size`.
    pub fn frontier_at(&self, time: EventTime) -> EventTime {
        self.start_of(time.plus_us(-self.lateness_us))
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

/// What a record does, judged when it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// It belongs to the open window with this start.
    Open(EventTime),
    /// First every window before `frontier` closes; then the record belongs to the window with this
    /// start.
    Closes {
        /// The start of the first window that stays open.
        frontier: EventTime,
        /// The start of the record's window.
        start: EventTime,
    },
    /// Its window has closed.
    Late(EventTime),
}

impl WindowProgress {
    /// Judges one record and moves on.
    pub fn take(&mut self, windows: &Tumbling, time: EventTime) -> Placement {
        let start = windows.start_of(time);
        let frontier = windows.frontier_at(time);
        self.latest = self.latest.max(time);
        if frontier > self.frontier {
            let first = self.frontier == EventTime::MIN;
            self.frontier = frontier;
            // Before the first record nothing is open, so nothing closes.
            return if first { Placement::Open(start) } else { Placement::Closes { frontier, start } };
        }
        if start < self.frontier { Placement::Late(start) } else { Placement::Open(start) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Tumbling = Tumbling { size_us: 60, lateness_us: 10 };

    fn verdicts(times: &[i64]) -> Vec<Placement> {
        let mut progress = WindowProgress::START;
        times.iter().map(|&time| progress.take(&HOUR, EventTime(time))).collect()
    }

    #[test]
    fn a_window_closes_at_the_first_record_at_its_end_plus_lateness() {
        let open = |s| Placement::Open(EventTime(s));
        assert_eq!(
            verdicts(&[10, 59, 60, 69, 13, 70, 13, 60]),
            vec![
                open(0),
                open(0),
                open(60),
                open(60),
                open(0), // t = 13 waits: 69 < 60 + 10
                Placement::Closes { frontier: EventTime(60), start: EventTime(60) },
                Placement::Late(EventTime(0)),
                open(60),
            ]
        );
    }

    #[test]
    fn times_before_the_epoch_fall_into_the_window_below() {
        assert_eq!(HOUR.start_of(EventTime(-1)), EventTime(-60));
        assert_eq!(HOUR.start_of(EventTime(-60)), EventTime(-60));
    }
}
