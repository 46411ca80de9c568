//! New certificates while a pipeline runs: librdkafka reads their files when a client is made, so
//! the run ends in order and begins anew, in the same process.
//! It must not know how a pipeline runs, nor how a file is judged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tickcast_connect::kafka::{CertificateFiles, CertificateNews};
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::runtime::{RunContext, Summary};

use crate::config::Plan;

/// Between two looks at the files.
const EVERY: Duration = Duration::from_secs(2);
/// Between two looks at what the threads here are told.
const STEP: Duration = Duration::from_millis(50);

/// A run from one set of certificates to the next.
pub(crate) struct Term {
    /// Set to end it.
    stop: Arc<AtomicBool>,
    /// It ends because there are new certificates.
    is_renewed: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
    /// Hands on that the whole run is to end.
    relay: JoinHandle<()>,
}

/// The files that the pipeline's clients are about to read; none, where there are none.
pub(crate) fn certificates(plan: &Plan) -> Option<CertificateFiles> {
    let source = plan.source.client().map(|client| (client.clone(), plan.source.traits().label));
    let written = plan.ends().topics_written().map(|(_, topic)| (topic.client.clone(), topic.topic.clone()));
    CertificateFiles::of(source.into_iter().chain(written))
}

impl Term {
    /// Watches the files while a run goes on. Only a source in Kafka can go on where it was: with
    /// others it is told that a change counts later. Errors: only when no thread can be had.
    pub(crate) fn begin(files: CertificateFiles, plan: &Plan, watch: &RunContext) -> Result<Self> {
        let [stop, is_renewed, is_over] = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
        let can_renew = plan.source.group().is_some();

        let (ours, theirs, over) = (Arc::clone(&stop), Arc::clone(&watch.stop), Arc::clone(&is_over));
        let relay = thread::Builder::new().name("term".into()).spawn(move || {
            while !over.load(Ordering::Relaxed) {
                if theirs.load(Ordering::Relaxed) {
                    ours.store(true, Ordering::Relaxed);
                }
                thread::sleep(STEP);
            }
        });
        let relay = relay.or_fail(Kind::Io, || "cannot start a thread that hands on the end of a run")?;

        let term = Term { stop, is_renewed, is_over, relay };
        let (stop, is_renewed) = (Arc::clone(&term.stop), Arc::clone(&term.is_renewed));
        let is_over = Arc::clone(&term.is_over);
        // A broker may let it wait: nobody waits for it.
        let looks = move || look_on(files, can_renew, &stop, &is_renewed, &is_over);
        let span = tracing::Span::current();
        let looker = thread::Builder::new().name("certificates".into()).spawn(move || span.in_scope(looks));
        looker.or_fail(Kind::Io, || "cannot start the thread that watches certificates")?;
        Ok(term)
    }

    /// The onlookers of the run in this term.
    pub(crate) fn watch(&self, watch: &RunContext) -> RunContext {
        RunContext { stop: Arc::clone(&self.stop), ..watch.clone() }
    }

    /// The run has ended. Whether that is because of new certificates.
    pub(crate) fn end(self) -> bool {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.relay.join();
        self.is_renewed.load(Ordering::Relaxed)
    }
}

/// Looks at the files until the term is over.
fn look_on(
    mut files: CertificateFiles,
    can_renew: bool,
    stop: &AtomicBool,
    is_renewed: &AtomicBool,
    is_over: &AtomicBool,
) {
    loop {
        for _ in 0..EVERY.as_millis() / STEP.as_millis() {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(STEP);
        }

        match files.look() {
            Some(CertificateNews::Usable(changed)) if can_renew => {
                if !is_over.load(Ordering::Relaxed) {
                    tracing::info!("the file of {changed} has changed: all connections are made anew");
                    is_renewed.store(true, Ordering::Relaxed);
                    stop.store(true, Ordering::Relaxed);
                }
                return;
            }
            Some(CertificateNews::Usable(changed)) => {
                tracing::warn!("the file of {changed} has changed: it counts when this process starts again");
            }
            Some(CertificateNews::Unusable(why)) => {
                tracing::warn!(
                    "a file has changed and cannot be used, the connections stay as they are: {why}"
                );
            }
            None => {}
        }
    }
}

/// What was done in several terms.
pub(crate) fn together(before: Option<Summary>, after: Option<Summary>) -> Option<Summary> {
    let (Some(before), Some(after)) = (before, after) else { return before.or(after) };
    Some(Summary {
        records: before.records + after.records,
        rejects: before.rejects + after.rejects,
        forecasts: before.forecasts + after.forecasts,
        scores: before.scores + after.scores,
        // These count from the partitions' first records.
        windows: after.windows,
        all_forecasts: after.all_forecasts,
    })
}
