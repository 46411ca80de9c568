//! How long the reader goes on waiting for the thread that writes.
//! It must not end that thread: nobody can, so it is left behind.

use std::cell::OnceCell;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::context::RunContext;
use super::retry_policy::GRACE;
use crate::error::{Error, Kind, Result};
use crate::telemetry::Readiness;

/// Watches the sink from the reader's thread.
pub(super) struct SinkWatch {
    /// A call that takes longer never returns.
    hangs: Duration,
    /// When it was seen that the run is to end.
    stopped_at: OnceCell<Instant>,
}

impl SinkWatch {
    /// A call that takes longer than `hangs` never returns.
    pub fn new(hangs: Duration) -> Self {
        SinkWatch { hangs, stopped_at: OnceCell::new() }
    }

    /// Whether the sink is worth waiting for. Errors: `Sink`, when a call hangs, or when the run is
    /// to end and the sink gets no further.
    pub fn check(&self, watch: &RunContext) -> Result<()> {
        self.check_the_end(watch)?;
        let silence = watch.pulse.silence();
        if silence <= self.hangs {
            return Ok(());
        }
        // Should the call return after all, nothing new is begun.
        watch.stop.store(true, Ordering::Relaxed);

        let what = format!(
            "a call of the sink has not returned for {} s; what it had not committed is made again by the next run",
            silence.as_secs()
        );
        Err(Error::new(Kind::Sink, what))
    }

    /// One limit on all that the sink still tries after the signal: each of its calls has its own
    /// time-out, and their sum is longer than a process is given to end.
    fn check_the_end(&self, watch: &RunContext) -> Result<()> {
        if !watch.is_stopped() {
            return Ok(());
        }
        let stopped = self.stopped_at.get_or_init(Instant::now).elapsed();
        if stopped.min(watch.pulse.stuck()) <= GRACE {
            return Ok(());
        }

        let why = match watch.health.status() {
            Readiness::Ready => String::new(),
            Readiness::Waiting(reason) => format!(" ({reason})"),
        };
        let what = format!(
            "the run was to end, and the sink has got no further for {} s{why}; what it had not committed is made again by \
             the next run",
            GRACE.as_secs()
        );
        Err(Error::new(Kind::Sink, what))
    }
}
