//! Tells whether whoever writes is alive: a call into a client library may hang for ever, and
//! nobody would know.
//! It must not judge how long is too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const RESTING: u64 = u64::MAX;

/// When the writer was heard last.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    began: Instant,
    heard_ms: Arc<AtomicU64>,
    /// When it began what has failed since, and has not succeeded yet.
    failing_ms: Arc<AtomicU64>,
}

impl Default for Heartbeat {
    fn default() -> Self {
        let resting = || Arc::new(AtomicU64::new(RESTING));
        Heartbeat { began: Instant::now(), heard_ms: resting(), failing_ms: resting() }
    }
}

impl Heartbeat {
    /// The writer works, and is not stuck.
    pub fn beat(&self) {
        self.heard_ms.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// An attempt has failed, of which the first one began then.
    pub fn failed(&self, first: Instant) {
        let first_ms = first.saturating_duration_since(self.began).as_millis() as u64;
        self.failing_ms.fetch_min(first_ms, Ordering::Relaxed);
    }

    /// An attempt has succeeded.
    pub fn succeeded(&self) {
        self.failing_ms.store(RESTING, Ordering::Relaxed);
    }

    /// It has nothing to do.
    pub fn rest(&self) {
        self.heard_ms.store(RESTING, Ordering::Relaxed);
    }

    /// How long a working writer has not been heard.
    pub fn silence(&self) -> Duration {
        self.since(&self.heard_ms)
    }

    /// How long it has got no further: in one call, or in several attempts, though it rested
    /// between them.
    pub fn stuck(&self) -> Duration {
        self.silence().max(self.since(&self.failing_ms))
    }

    fn since(&self, moment_ms: &AtomicU64) -> Duration {
        match moment_ms.load(Ordering::Relaxed) {
            RESTING => Duration::ZERO,
            moment => self.began.elapsed().saturating_sub(Duration::from_millis(moment)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_rests_is_not_silent() {
        let pulse = Heartbeat::default();
        assert_eq!(pulse.silence(), Duration::ZERO);
        pulse.beat();
        std::thread::sleep(Duration::from_millis(5));
        assert!(pulse.silence() >= Duration::from_millis(3));
        pulse.rest();
        assert_eq!(pulse.silence(), Duration::ZERO);
    }

    #[test]
    fn attempts_count_from_the_first_one_until_one_succeeds() {
        let pulse = Heartbeat::default();
        assert_eq!(pulse.stuck(), Duration::ZERO);
        let first = Instant::now();
        std::thread::sleep(Duration::from_millis(20));
        pulse.failed(first);
        pulse.rest();
        pulse.failed(Instant::now());
        assert!(pulse.stuck() >= Duration::from_millis(18));
        pulse.succeeded();
        assert_eq!(pulse.stuck(), Duration::ZERO);
    }
}
