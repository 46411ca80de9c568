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
}

impl Default for Heartbeat {
    fn default() -> Self {
        Heartbeat { began: Instant::now(), heard_ms: Arc::new(AtomicU64::new(RESTING)) }
    }
}

impl Heartbeat {
    /// The writer works, and is not stuck.
    pub fn beat(&self) {
        self.heard_ms.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// It has nothing to do.
    pub fn rest(&self) {
        self.heard_ms.store(RESTING, Ordering::Relaxed);
    }

    /// How long a working writer has not been heard.
    pub fn silence(&self) -> Duration {
        match self.heard_ms.load(Ordering::Relaxed) {
            RESTING => Duration::ZERO,
            heard => self.began.elapsed().saturating_sub(Duration::from_millis(heard)),
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
}
