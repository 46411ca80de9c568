//! What making a partition's state again would cost, and when that is reason enough to save it.
//! It must not know how a state is saved.
//!
//! A restart goes on from the newest saved state, and works again on every record after it. So the
//! time that was spent on them is what a restart would take. Before that becomes too long, the
//! state is saved: right after a window has closed, where the next close would come too late.
//! Between closes everything that is saved has to be copied first.

use std::time::{Duration, Instant};

use super::context::Worked;

/// However little there was to do, a state is saved when so much time has passed: the records that
/// follow it may expire, and at least once nothing counts as done before.
const AT_LATEST: Duration = Duration::from_secs(30);
/// But a state that takes long to write is not written all the time: so many times as long passes
/// first.
const WRITES: u32 = 20;

/// How long the replay of one of so many partitions may take: they follow each other.
pub(super) fn share(recover_within: Duration, partitions: usize) -> Duration {
    recover_within / u32::try_from(partitions).unwrap_or(u32::MAX).max(1)
}

/// What a partition has done since its state was saved.
#[derive(Debug, Default)]
pub(super) struct ReplayDebt {
    work: Duration,
    /// Of that, since a window closed.
    since_close: Duration,
    /// What lay between the last two closes.
    between_closes: Duration,
    has_just_closed: bool,
    /// Windows that it has closed since its beginning.
    windows: u64,
    /// When the first of it was done.
    began: Option<Instant>,
    /// What the last state took to be written.
    write: Duration,
}

impl ReplayDebt {
    /// Nothing since its state was saved; it had closed so many windows by then.
    pub fn none(windows: u64) -> Self {
        ReplayDebt { windows, ..ReplayDebt::default() }
    }

    /// More was done.
    pub fn add(&mut self, worked: Worked) {
        self.began.get_or_insert_with(Instant::now);
        self.work += worked.took;
        self.since_close += worked.took;
        self.has_just_closed = worked.windows != self.windows;
        self.windows = worked.windows;
        if self.has_just_closed {
            self.between_closes = std::mem::take(&mut self.since_close);
        }
    }

    /// Whether a replay would take longer than it may, or would do so before the next close.
    pub fn is_too_long(&self, may_take: Duration) -> bool {
        let until_close = if self.has_just_closed { self.between_closes } else { Duration::ZERO };
        self.work + until_close > may_take
    }

    /// Whether the records that it is of have waited for long.
    pub fn is_too_old(&self) -> bool {
        self.began.is_some_and(|began| began.elapsed() >= AT_LATEST.max(self.write * WRITES))
    }

    /// The state is saved.
    pub fn settle(&mut self) {
        (self.work, self.began) = (Duration::ZERO, None);
    }

    /// So long the state took to be written.
    pub fn has_written(&mut self, took: Duration) {
        self.write = took;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(works: &[(u64, u64)]) -> ReplayDebt {
        let mut debt = ReplayDebt::none(0);
        for &(ms, windows) in works {
            debt.add(Worked { took: Duration::from_millis(ms), windows });
        }
        debt
    }

    #[test]
    fn a_state_is_saved_at_the_last_close_before_a_replay_takes_too_long() {
        let may_take = Duration::from_millis(100);
        // Windows of 30 ms: the third close is the last after which another window has room.
        let windows = [(30, 1), (30, 2), (30, 3)];
        let is_due: Vec<bool> = (1..=3).map(|n| after(&windows[..n]).is_too_long(may_take)).collect();
        assert_eq!(is_due, [false, false, true]);
        // In the middle of a window it is not, for as long as the replay is short enough.
        assert!(!after(&[(30, 1), (30, 2), (29, 2), (11, 2)]).is_too_long(may_take));
        assert!(after(&[(30, 1), (30, 2), (41, 2)]).is_too_long(may_take));
        // A window that alone takes too long is saved at its end.
        assert!(after(&[(0, 1), (90, 1), (11, 2)]).is_too_long(may_take));
    }

    #[test]
    fn what_is_saved_is_paid_and_what_a_close_takes_is_remembered() {
        let may_take = Duration::from_millis(100);
        let mut debt = after(&[(30, 1), (60, 2)]);
        assert!(debt.is_too_long(may_take));
        debt.settle();
        assert!(!debt.is_too_long(may_take) && !debt.is_too_old());
        debt.add(Worked { took: Duration::from_millis(50), windows: 3 });
        assert!(!debt.is_too_long(may_take));
        debt.add(Worked { took: Duration::from_millis(30), windows: 4 });
        assert!(debt.is_too_long(may_take));
    }

    #[test]
    fn work_that_is_old_is_saved_however_little_it_was() {
        let mut debt = after(&[(0, 0)]);
        assert!(!debt.is_too_old());
        debt.began = Instant::now().checked_sub(AT_LATEST);
        assert!(debt.is_too_old() && !debt.is_too_long(AT_LATEST));
        debt.add(Worked { took: Duration::ZERO, windows: 0 });
        assert!(debt.is_too_old());
        debt.has_written(AT_LATEST / 2);
        assert!(!debt.is_too_old(), "writing it every time would take half of all time");
    }
}
