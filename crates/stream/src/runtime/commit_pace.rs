//! When the writer commits: as often as it was told, and sooner for forecasts that are waited for.
//! It must not commit.

use std::time::{Duration, Instant};

use crate::message::EventTime;
use crate::telemetry::now_us;

/// Nobody waits for the forecasts of older records, in microseconds: they are being caught up with.
const FRESH_US: f64 = 1e6;
/// Windows of several partitions close together: for so long nothing more comes of them.
const SETTLED: Duration = Duration::from_millis(10);
/// No two commits follow each other in less than this part of the time that was asked for.
const PARTS: u32 = 10;

/// The times of the writer's commits.
pub(super) struct CommitPace {
    every: Duration,
    /// When it is time at the latest.
    due: Instant,
    /// Not before this it is sooner: commits are to take half of the time at most.
    soonest: Instant,
    /// Whether fresh forecasts are not committed yet.
    is_waited_for: bool,
}

impl CommitPace {
    /// A commit each `every`.
    pub fn new(every: Duration) -> Self {
        CommitPace::after(every, Duration::ZERO)
    }

    /// After a commit that took so long.
    fn after(every: Duration, took: Duration) -> Self {
        let now = Instant::now();
        CommitPace { every, due: now + every, soonest: now + took.max(every / PARTS), is_waited_for: false }
    }

    /// Forecasts have come, of records that the source had at this time, where it says so.
    pub fn forecasts_of(&mut self, recorded: Option<EventTime>) {
        if recorded.is_some_and(|recorded| now_us() - (recorded.0 as f64) < FRESH_US) {
            self.is_waited_for = true;
            self.soonest = self.soonest.max(Instant::now() + SETTLED);
        }
    }

    /// When to commit, if nothing comes before.
    pub fn at(&self) -> Instant {
        if self.is_waited_for { self.soonest.min(self.due) } else { self.due }
    }

    /// Whether to commit now; while more is there to be taken, only at the latest.
    pub fn is_due(&self, is_more_there: bool) -> bool {
        Instant::now() >= if is_more_there { self.due } else { self.at() }
    }

    /// A commit that was begun at `from` has ended.
    pub fn committed(&mut self, from: Instant) {
        *self = CommitPace::after(self.every, from.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1_000_000);

    fn ago(us: f64) -> Option<EventTime> {
        Some(EventTime((now_us() - us) as i64))
    }

    /// Time passes at once.
    fn wait_for(pace: &mut CommitPace, time: Duration) {
        pace.due -= time;
        pace.soonest -= time;
    }

    #[test]
    fn fresh_forecasts_are_committed_as_soon_as_nothing_more_comes() {
        let mut pace = CommitPace::new(LONG);
        wait_for(&mut pace, LONG / 2);
        assert!(!pace.is_due(false));
        pace.forecasts_of(ago(0.0));
        wait_for(&mut pace, SETTLED);
        assert!(pace.is_due(false) && !pace.is_due(true));
        pace.committed(Instant::now());
        wait_for(&mut pace, LONG / 2);
        assert!(!pace.is_due(false), "nothing fresh has come since");
    }

    #[test]
    fn forecasts_of_the_past_and_of_no_known_time_are_not_waited_for() {
        let mut pace = CommitPace::new(LONG);
        wait_for(&mut pace, LONG / 2);
        for recorded in [None, ago(2.0 * FRESH_US), Some(EventTime(-1))] {
            pace.forecasts_of(recorded);
            assert!(!pace.is_due(false), "{recorded:?}");
        }
    }

    #[test]
    fn commits_take_half_of_the_time_and_keep_a_part_of_what_was_asked_for() {
        for (took, least) in [(Duration::ZERO, LONG / PARTS), (LONG / 2, LONG / 2)] {
            let mut pace = CommitPace::after(LONG, took);
            pace.forecasts_of(ago(0.0));
            wait_for(&mut pace, least - Duration::from_secs(100));
            assert!(!pace.is_due(false), "{took:?}");
            wait_for(&mut pace, Duration::from_secs(100));
            assert!(pace.is_due(false), "{took:?}");
        }
    }
}
