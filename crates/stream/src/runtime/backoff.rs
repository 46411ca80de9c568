//! How long to pause between two attempts, and how many attempts there are.
//! It must not sleep, nor know what is attempted: who waits does.

use std::time::Duration;

/// The pauses between attempts; it ends when there is to be no further attempt.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
    left: u32,
}

impl Backoff {
    /// Pauses that double from the first to the longest, without end.
    pub const fn growing(first: Duration, longest: Duration) -> Self {
        Backoff { next: first, longest, left: u32::MAX }
    }

    /// Pauses that are all alike, without end.
    pub const fn steady(pause: Duration) -> Self {
        Backoff::growing(pause, pause)
    }

    /// The same pauses, but only so many.
    pub const fn at_most(self, pauses: u32) -> Self {
        Backoff { left: pauses, ..self }
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.left == 0 {
            return None;
        }
        if self.left != u32::MAX {
            self.left -= 1;
        }

        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(pauses: impl Iterator<Item = Duration>) -> Vec<u128> {
        pauses.map(|pause| pause.as_millis()).collect()
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses = Backoff::growing(Duration::from_millis(10), Duration::from_millis(50));
        assert_eq!(ms(pauses.take(5)), [10, 20, 40, 50, 50]);
    }

    #[test]
    fn there_are_no_more_pauses_than_wanted() {
        let pauses = Backoff::steady(Duration::from_millis(7));
        assert_eq!(ms(pauses.clone().at_most(2)), [7, 7]);
        assert_eq!(ms(pauses.at_most(0)), [0; 0]);
    }
}
