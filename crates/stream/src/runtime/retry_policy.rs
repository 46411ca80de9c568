//! How a sink waits for what is away: for as long as it takes, and not much longer once the run is to end.
//! It must not know what is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::heartbeat::Heartbeat;
use crate::error::{Error, Kind, Result};
use crate::telemetry::{Health, HealthPart};

/// A shorter wait is back-pressure, nothing to tell.
const SILENT: Duration = Duration::from_secs(2);
/// What is left to do after a first signal.
const GRACE: Duration = Duration::from_secs(20);

/// Waits, and says so.
#[derive(Clone)]
pub struct RetryPolicy {
    /// Set when the run is to end.
    pub stop: Arc<AtomicBool>,
    pub health: Arc<Health>,
    pub pulse: Heartbeat,
}

impl RetryPolicy {
    /// Repeats `attempt`, which itself takes some time, until it says true. Errors: `attempt`'s own, or `Sink` when the
    /// run is to end and it still says false.
    pub fn until(&self, what: &dyn Fn() -> String, attempt: &mut dyn FnMut() -> Result<bool>) -> Result<()> {
        let began = Instant::now();
        let mut told = false;
        let mut stopped: Option<Instant> = None;
        while !attempt()? {
            self.pulse.beat();
            if !told && began.elapsed() > SILENT {
                told = true;
                tracing::warn!(waiting = what(), "sink");
                self.health.set_waiting(HealthPart::Sink, what());
            }
            if self.stop.load(Ordering::Relaxed) && stopped.get_or_insert_with(Instant::now).elapsed() > GRACE
            {
                return Err(Error::transient(Kind::Sink, what()));
            }
        }
        if told {
            self.health.set_ready(HealthPart::Sink);
        }
        Ok(())
    }
}
