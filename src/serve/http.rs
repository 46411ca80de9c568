//! The HTTP server: `/metrics`, `/health`, `/ready` and the page at `/`.
//! It must not know the pipeline: it shows what metrics and health were told.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::telemetry::{Health, Metrics, Readiness};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::page::page;

/// How long `stop` waits for answers under way.
const GRACE: Duration = Duration::from_secs(2);

/// A server on a thread of its own, until it is stopped or dropped.
#[derive(Debug)]
pub struct HttpServer {
    local_addr: SocketAddr,
    stop: oneshot::Sender<()>,
    stopped: mpsc::Receiver<()>,
    runtime: Runtime,
}

#[derive(Debug, Clone)]
struct Shown {
    pipeline: Arc<str>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

impl HttpServer {
    /// Serves at `addr` (port 0: any free one) under the pipeline's name. Errors: `Io`, when the
    /// address cannot be had.
    pub fn start(
        addr: SocketAddr,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
        pipeline: &str,
    ) -> Result<Self> {
        let runtime = one_thread().or_fail(Kind::Io, || "cannot start the HTTP server's thread")?;
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(addr))
            .map_err(|cause| Error::new(Kind::Io, format!("cannot serve HTTP at {addr}")).because(cause))?;
        let local_addr = listener.local_addr().or_fail(Kind::Io, || format!("no address for {addr}"))?;

        let shown = Shown { pipeline: pipeline.into(), metrics, health };
        let (stop, asked) = oneshot::channel();
        let (done, stopped) = mpsc::channel();
        let serving = axum::serve(listener, router(shown)).with_graceful_shutdown(async {
            // A dropped sender ends the server too.
            let _ = asked.await;
        });

        runtime.spawn(async move {
            if let Err(cause) = serving.into_future().await {
                tracing::error!(%cause, "the HTTP server ended");
            }
            // Nobody listens when the server was dropped instead of stopped.
            let _ = done.send(());
        });
        Ok(HttpServer { local_addr, stop, stopped, runtime })
    }

    /// The address it listens at.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Takes no more requests and ends when those under way are answered, after two seconds at the
    /// latest.
    pub fn stop(self) {
        // A server that has ended already, or does not end in time, goes with its runtime.
        let _ = self.stop.send(());
        let _ = self.stopped.recv_timeout(GRACE);
        self.runtime.shutdown_background();
    }
}

fn one_thread() -> std::io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).thread_name("http").enable_all().build()
}

fn router(shown: Shown) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/health", get(|| async { "alive\n" }))
        .route("/ready", get(ready))
        .fallback(|| async { (StatusCode::NOT_FOUND, "not found\n") })
        .with_state(shown)
}

async fn index(State(shown): State<Shown>) -> impl IntoResponse {
    let text = page(&shown.pipeline, &shown.health.status(), &shown.metrics.scoreboard());
    ([(CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'")], Html(text))
}

async fn metrics(State(shown): State<Shown>) -> impl IntoResponse {
    ([(CONTENT_TYPE, tickcast_stream::telemetry::TEXT_FORMAT)], shown.metrics.text())
}

async fn ready(State(shown): State<Shown>) -> impl IntoResponse {
    match shown.health.status() {
        Readiness::Ready => (StatusCode::OK, "ready\n".to_owned()),
        Readiness::Waiting(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use tickcast_stream::message::{RawRecord, Records};
    use tickcast_stream::telemetry::HealthPart;
    use tickcast_stream::{Offset, PartitionId};

    use super::*;

    fn server() -> (HttpServer, Arc<Metrics>, Arc<Health>) {
        let (metrics, health) = (Arc::new(Metrics::new("weather").unwrap()), Arc::new(Health::default()));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = HttpServer::start(any, Arc::clone(&metrics), Arc::clone(&health), "weather").unwrap();
        (server, metrics, health)
    }

    /// The status, the head and the body of the answer.
    fn ask(addr: SocketAddr, request: &str) -> (u16, String, String) {
        let mut socket = TcpStream::connect(addr).unwrap();
        write!(socket, "{request} HTTP/1.1\r\nHost: tickcast\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
    }

    #[test]
    fn endpoints_answer_with_what_was_told() {
        let (server, metrics, health) = server();
        let get = |path: &str| ask(server.local_addr(), &format!("GET {path}"));
        assert_eq!(get("/health").0, 200);
        assert_eq!((get("/ready").0, get("/ready").2), (503, "starting\n".to_owned()));
        health.set_waiting(HealthPart::Source, "no broker answers at localhost:9092");
        assert_eq!(get("/ready").2, "no broker answers at localhost:9092\n");
        health.set_ready(HealthPart::Source);
        assert_eq!((get("/ready").0, get("/ready").2), (200, "ready\n".to_owned()));
        let record = RawRecord { offset: Offset(0), timestamp: None, payload: None };
        metrics.records_received("observations", PartitionId(0), &Records::Raw(vec![record]));
        let (status, head, body) = get("/metrics");
        assert_eq!(status, 200);
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert!(body.contains("tickcast_records_received_total{"), "{body}");
        let (status, head, body) = get("/");
        assert!(status == 200 && head.contains("content-type: text/html"), "{head}");
        assert!(body.contains("<h1>weather</h1>") && body.contains(">ready<"), "{body}");
        assert_eq!(get("/api/nothing").0, 404);
        assert_eq!(ask(server.local_addr(), "POST /metrics").0, 405);
    }

    #[test]
    fn stopped_it_frees_the_port_even_with_a_client_that_says_nothing() {
        let (server, metrics, health) = server();
        let addr = server.local_addr();
        let _silent = TcpStream::connect(addr).unwrap();
        server.stop();
        assert!(TcpStream::connect(addr).is_err());
        HttpServer::start(addr, metrics, health, "weather").unwrap().stop();
    }

    #[test]
    fn a_taken_address_is_named() {
        let (server, metrics, health) = server();
        let error = HttpServer::start(server.local_addr(), metrics, health, "weather").unwrap_err();
        assert_eq!(error.kind, Kind::Io);
        assert!(error.to_string().contains(&server.local_addr().to_string()), "{error}");
    }
}
