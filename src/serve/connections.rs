//! The connections of the HTTP server: how many there are at a time, and how long each may take.
//! It must not know what is asked or answered.
//!
//! A client that says nothing, says it slowly or does not listen costs a descriptor, and the
//! pipeline lives of the same ones. So every connection has an end, and one too many ends the one
//! that has been silent longest: refusing the new one would let silent clients keep out those that
//! look after the process.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tickcast_stream::lock::lock;
use tickcast_stream::runtime::Backoff;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// More connections than these serve nobody: a probe, a scraper and some browsers need a few.
const CONNECTIONS_MAX: u64 = 128;
/// The least that a probe, a scraper and a browser need.
const CONNECTIONS_MIN: u64 = 4;
/// The share of the process' descriptors that connections may take; the others are the pipeline's.
const DESCRIPTORS_SHARE: u64 = 8;
/// Far more than the head of a request for a page or a metric.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Pauses after a failed `accept`.
const PAUSES: Backoff = Backoff::growing(Duration::from_millis(10), Duration::from_secs(1));

/// How many connections there may be, and how long each may take.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Connections at a time.
    pub connections: usize,
    /// From the connection, or from the answer before, to the end of a request's head.
    pub head: Duration,
    /// From the connection to its last answer's beginning.
    pub life: Duration,
    /// What an answer under way may still take when the life is over.
    pub last_answer: Duration,
}

impl ConnectionLimits {
    /// Those of a process with its limit of open files.
    pub fn of_this_process() -> Self {
        let descriptors = rlimit::Resource::NOFILE.get_soft().unwrap_or(u64::MAX);
        ConnectionLimits {
            connections: connections(descriptors),
            head: Duration::from_secs(10),
            life: Duration::from_secs(60),
            last_answer: Duration::from_secs(10),
        }
    }
}

/// How many connections a process with so many descriptors may hold.
fn connections(descriptors: u64) -> usize {
    (descriptors / DESCRIPTORS_SHARE).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX) as usize
}

/// Answers what comes in until `stop` is done, then lets the answers under way come to their end.
pub async fn serve(
    listener: TcpListener,
    answers: Router,
    limits: ConnectionLimits,
    stop: impl Future<Output = ()>,
) {
    let (stopping, stopped) = watch::channel(());
    let open = Open::default();
    let mut talks = JoinSet::new();
    let (mut ids, mut pauses) = (0.., PAUSES);
    tokio::pin!(stop);

    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        while talks.try_join_next().is_some() {}
        match accepted {
            Ok((socket, _)) => {
                pauses = PAUSES;
                let (id, asking) = (ids.next().unwrap_or_default(), open.clone());
                let has_asked = move || asking.has_asked(id);
                let talk = talks.spawn(talk(socket, answers.clone(), limits, stopped.clone(), has_asked));
                open.enter(limits.connections, id, talk);
            }
            Err(cause) if is_of_the_client(&cause) => {}
            Err(cause) => {
                tracing::warn!(%cause, "the HTTP server cannot take a connection; trying again");
                open.end_the_most_silent();
                tokio::time::sleep(pauses.next().unwrap_or_default()).await;
            }
        }
    }

    drop((listener, stopping));
    while talks.join_next().await.is_some() {}
}

/// Whether a connection failed before it was taken: the next one may be good.
fn is_of_the_client(cause: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(cause.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn talk(
    socket: TcpStream,
    answers: Router,
    limits: ConnectionLimits,
    mut stopped: watch::Receiver<()>,
    has_asked: impl Fn(),
) {
    let answers = TowerToHyperService::new(answers);
    let service = service_fn(|request| {
        has_asked();
        answers.call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(HEAD_BYTES_MAX);
    let talk = http.serve_connection(TokioIo::new(socket), service);
    tokio::pin!(talk);

    tokio::select! {
        // Whatever the client did: the next one is not concerned.
        _ = talk.as_mut() => return,
        () = tokio::time::sleep(limits.life) => {}
        _ = stopped.changed() => {}
    }
    talk.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(limits.last_answer, talk).await;
}

/// The connections that are open, the one that has been silent longest first.
#[derive(Clone, Default)]
struct Open(Arc<Mutex<VecDeque<(u64, AbortHandle)>>>);

impl Open {
    /// Takes a new connection in; where there are `most` already, another one ends for it.
    fn enter(&self, most: usize, id: u64, talk: AbortHandle) {
        let mut open = lock(&self.0);
        open.retain(|(_, talk)| !talk.is_finished());
        if open.len() >= most
            && let Some((_, silent)) = open.pop_front()
        {
            silent.abort();
        }
        open.push_back((id, talk));
    }

    /// The client of this connection has sent a whole request.
    fn has_asked(&self, id: u64) {
        let mut open = lock(&self.0);
        if let Some(at) = open.iter().position(|(other, _)| *other == id)
            && let Some(talk) = open.remove(at)
        {
            open.push_back(talk);
        }
    }

    fn end_the_most_silent(&self) {
        if let Some((_, silent)) = lock(&self.0).pop_front() {
            silent.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_descriptors_are_the_pipelines() {
        assert_eq!([20, 64, 256, 1024, u64::MAX].map(connections), [4, 8, 32, 128, 128]);
    }
}
