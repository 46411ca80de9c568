//! When the writer commits: as often as it was told, and sooner for forecasts that are waited for.
//! It must not commit.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::message::EventTime;

/// Nobody waits for the forecasts of older records: they are being caught up with.
const FRESH: Duration = Duration::from_secs(1);
/// Windows of several partitions close together: for so long nothing more comes of them.
const SETTLED: Duration = Duration::from_millis(10);

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
        let now = Instant::now();
        CommitPace { every, due: now + every, soonest: now, is_waited_for: false }
    }

    /// Forecasts have come, of records that the source had at this time, where it says so.
    pub fn forecasts_of(&mut self, recorded: Option<EventTime>) {
        let fresh = |recorded: EventTime| {
            let recorded = u64::try_from(recorded.0).map(Duration::from_micros).ok()?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
            Some(now.saturating_sub(recorded) < FRESH)
        };
        if recorded.and_then(fresh).unwrap_or(false) {
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
        let now = Instant::now();
        *self = CommitPace {
            every: self.every,
            due: now + self.every,
            soonest: now + (now - from),
            is_waited_for: false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Duration = Duration::from_secs(1_000_000);

    fn ago(by: Duration) -> Option<EventTime> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Some(EventTime((now - by).as_micros() as i64))
    }

    #[test]
    fn fresh_forecasts_are_committed_as_soon_as_nothing_more_comes() {
        let mut pace = CommitPace::new(NEVER);
        assert!(!pace.is_due(false));
        pace.forecasts_of(ago(Duration::ZERO));
        assert!(pace.at() < Instant::now() + 2 * SETTLED);
        std::thread::sleep(SETTLED);
        assert!(pace.is_due(false) && !pace.is_due(true));
        pace.committed(Instant::now());
        assert!(!pace.is_due(false));
    }

    #[test]
    fn forecasts_of_the_past_and_of_no_known_time_are_not_waited_for() {
        let mut pace = CommitPace::new(NEVER);
        for recorded in [None, ago(2 * FRESH), Some(EventTime(-1))] {
            pace.forecasts_of(recorded);
            assert!(!pace.is_due(false), "{recorded:?}");
        }
    }

    #[test]
    fn after_a_commit_that_took_long_the_next_is_not_sooner_than_as_long() {
        let mut pace = CommitPace::new(NEVER);
        pace.committed(Instant::now() - NEVER / 2);
        pace.forecasts_of(ago(Duration::ZERO));
        assert!(!pace.is_due(false) && pace.at() < Instant::now() + NEVER);
    }
}
