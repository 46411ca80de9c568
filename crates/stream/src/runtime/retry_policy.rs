//! How a sink waits for what is away: for as long as it takes, and not much longer once the run is
//! to end.
//! It must not know what is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::heartbeat::Heartbeat;
use crate::error::{Error, Kind, Result, Retry};
use crate::telemetry::{Health, HealthPart};

/// A shorter wait is back-pressure, nothing to tell.
const SILENT: Duration = Duration::from_secs(2);
/// What is left to do after a first signal is given up when it gets no further for so long.
pub(super) const GRACE: Duration = Duration::from_secs(20);
/// The same for one wait among several attempts: it knows best what it has waited for, so it is to
/// say so before it is left behind.
const WAIT_GRACE: Duration = Duration::from_secs(18);

/// Waits, and says so.
#[derive(Clone)]
pub struct RetryPolicy {
    /// Set when the run is to end.
    pub stop: Arc<AtomicBool>,
    /// Told what is waited for.
    pub health: Arc<Health>,
    /// Of the thread that waits.
    pub pulse: Heartbeat,
}

impl RetryPolicy {
    /// Repeats `attempt`, which itself takes some time, until it says true. Errors: `attempt`'s
    /// own, or `Sink` when the run is to end and it still says false.
    pub fn until(&self, what: &dyn Fn() -> String, attempt: &mut dyn FnMut() -> Result<bool>) -> Result<()> {
        let mut waiting = self.waiting();
        while !attempt()? {
            self.pulse.beat();
            waiting.say(what);
            waiting.check_grace(what)?;
        }
        waiting.is_over();
        Ok(())
    }

    /// Repeats `attempt`, with a pause, while its error says that it will pass; `why` tells of that
    /// error. Errors: `attempt`'s own that will not pass, or `Sink` when the run is to end.
    pub fn while_it_passes<T>(
        &self,
        pause: Duration,
        why: &dyn Fn(&Error) -> String,
        attempt: &mut dyn FnMut() -> Result<T>,
    ) -> Result<T> {
        let mut waiting = self.waiting();
        loop {
            let error = match attempt() {
                Ok(done) => {
                    waiting.is_over();
                    return Ok(done);
                }
                Err(error) if error.retry == Retry::Later => error,
                Err(error) => return Err(error),
            };
            self.pulse.beat();
            waiting.say(|| why(&error));
            waiting.check_grace(|| why(&error))?;
            sleep(pause);
        }
    }

    /// Begins to wait.
    pub(super) fn waiting(&self) -> Waiting<'_> {
        Waiting { policy: self, began: Instant::now(), told: None, stopped: None }
    }
}

/// One wait.
pub(super) struct Waiting<'a> {
    policy: &'a RetryPolicy,
    began: Instant,
    /// What is waited for, as it was said last.
    told: Option<String>,
    /// When it was seen first that the run is to end.
    stopped: Option<Instant>,
}

impl Waiting<'_> {
    /// An attempt has failed: after a while this is said, and again when the reason changes, since
    /// the first reason may be only an echo of the one that lasts.
    pub fn say(&mut self, why: impl Fn() -> String) {
        self.policy.pulse.failed(self.began);
        if self.began.elapsed() <= SILENT {
            return;
        }
        let why = why();
        if self.told.as_ref() != Some(&why) {
            tracing::warn!(why, "the sink waits; trying again");
            self.policy.health.set_waiting(HealthPart::Sink, why.as_str());
            self.told = Some(why);
        }
    }

    /// Whether there is still time for another attempt. Errors: `Sink`, when the run is to end and
    /// the time for its end is up.
    pub fn check_grace(&mut self, what: impl Fn() -> String) -> Result<()> {
        let is_stopped = self.policy.stop.load(Ordering::Relaxed);
        if is_stopped && self.stopped.get_or_insert_with(Instant::now).elapsed() > WAIT_GRACE {
            return Err(Error::transient(Kind::Sink, what()));
        }
        Ok(())
    }

    /// An attempt was made.
    pub fn is_over(&self) {
        self.policy.pulse.succeeded();
        if self.told.is_some() {
            self.policy.health.set_ready(HealthPart::Sink);
        }
    }
}
