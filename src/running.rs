//! The handle of a pipeline that runs: watched and stopped through it.
//! It must not know how a pipeline is launched.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use tickcast_stream::error::{Error, Kind};
use tickcast_stream::runtime::{RunContext, Summary};
use tickcast_stream::telemetry::{Metrics, Readiness};

use crate::failure::Outcome;
use crate::serve::HttpServer;

/// A pipeline that runs. Dropped, it is asked to end, and not waited for.
pub struct Running {
    pub(crate) name: String,
    pub(crate) watch: RunContext,
    pub(crate) servers: Servers,
    pub(crate) thread: Option<JoinHandle<Outcome<Option<Summary>>>>,
}

impl Running {
    /// The pipeline's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is ready to forecast, and what it waits for if not.
    pub fn status(&self) -> Readiness {
        self.watch.health.status()
    }

    /// What a person should know of it though nothing waits for it.
    pub fn notes(&self) -> Vec<String> {
        self.watch.health.notes()
    }

    /// What it counts and measures.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.watch.metrics
    }

    /// Where it serves its page and metrics, if it does.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.servers.page.as_ref().map(HttpServer::local_addr)
    }

    /// Where records are posted, if that is an address of its own.
    pub fn ingest_addr(&self) -> Option<SocketAddr> {
        self.servers.ingest.as_ref().map(HttpServer::local_addr)
    }

    /// Whether the run is over: then [`Running::wait`] returns at once.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Asks for an orderly end: commit, snapshot, leave.
    pub fn stop(&self) {
        self.watch.stop.store(true, Ordering::Relaxed);
    }

    /// Waits for the end of the input, or of the run that was stopped, and goes on serving. What
    /// was done; none, when the end came before the beginning.
    pub fn finish(&mut self) -> Outcome<Option<Summary>> {
        let Some(thread) = self.thread.take() else { return Ok(None) };
        thread.join().unwrap_or_else(|_| {
            let what = format!("pipeline {} panicked; this is a bug in tickcast", self.name);
            Err(Error::new(Kind::Io, what).into())
        })
    }

    /// As [`Running::finish`], then ends what it serves.
    pub fn wait(mut self) -> Outcome<Option<Summary>> {
        let done = self.finish();
        self.servers.stop();
        done
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a pipeline serves.
#[derive(Default)]
pub(crate) struct Servers {
    /// Its page and metrics.
    pub page: Option<HttpServer>,
    /// Where records are posted, if that is an address of its own.
    pub ingest: Option<HttpServer>,
}

impl Servers {
    /// Ends both; no more records are posted.
    fn stop(&mut self) {
        let servers = [self.ingest.take(), self.page.take()];
        servers.into_iter().flatten().for_each(HttpServer::stop);
    }
}
