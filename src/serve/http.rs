//! The HTTP server: `/metrics`, `/health`, `/ready` and the page at `/`.
//! It must not know the pipeline: it shows what metrics and health were told.

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

use super::connections::{ConnectionLimits, serve};
use super::ingest::IngestRoute;
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
    /// Serves at `addr` (port 0: any free one) under the pipeline's name, within the limits of this
    /// process; takes records too, where `ingest` says how. Errors: `Io`, when the address cannot
    /// be had.
    pub fn start(
        addr: SocketAddr,
        (metrics, health): (Arc<Metrics>, Arc<Health>),
        pipeline: &str,
        ingest: Option<IngestRoute>,
    ) -> Result<Self> {
        let shown = Shown { pipeline: pipeline.into(), metrics, health };
        let answers = ingest.map_or_else(Router::new, IngestRoute::router).merge(router(shown));
        Self::start_within(ConnectionLimits::of_this_process(), addr, answers)
    }

    /// As [`HttpServer::start`], with nothing to see: it takes records, and says that it lives.
    pub fn start_ingest(addr: SocketAddr, ingest: IngestRoute) -> Result<Self> {
        let answers = ingest.router().route("/health", get(alive)).fallback(not_found);
        Self::start_within(ConnectionLimits::of_this_process(), addr, answers)
    }

    fn start_within(limits: ConnectionLimits, addr: SocketAddr, answers: Router) -> Result<Self> {
        let runtime = one_thread().or_fail(Kind::Io, || "cannot start the HTTP server's thread")?;
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(addr))
            .map_err(|cause| Error::new(Kind::Io, format!("cannot serve HTTP at {addr}")).because(cause))?;
        let local_addr = listener.local_addr().or_fail(Kind::Io, || format!("no address for {addr}"))?;

        let (stop, asked) = oneshot::channel();
        let (done, stopped) = mpsc::channel();
        let asked = async {
            // A dropped sender ends the server too.
            let _ = asked.await;
        };
        runtime.spawn(async move {
            serve(listener, answers, limits, asked).await;
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
        .route("/health", get(alive))
        .route("/ready", get(ready))
        .fallback(not_found)
        .with_state(shown)
}

async fn alive() -> &'static str {
    "alive\n"
}

async fn not_found() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "not found\n")
}

async fn index(State(shown): State<Shown>) -> impl IntoResponse {
    let health = &shown.health;
    let text = page(&shown.pipeline, &health.status(), &health.notes(), &shown.metrics.scoreboard());
    ([(CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'")], Html(text))
}

async fn metrics(State(shown): State<Shown>) -> impl IntoResponse {
    ([(CONTENT_TYPE, tickcast_stream::telemetry::TEXT_FORMAT)], shown.metrics.text())
}

async fn ready(State(shown): State<Shown>) -> impl IntoResponse {
    match shown.health.status() {
        Readiness::Ready => {
            let notes = shown.health.notes();
            let notes = notes.iter().map(|note| format!("{note}\n"));
            (StatusCode::OK, std::iter::once("ready\n".to_owned()).chain(notes).collect())
        }
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

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
    /// Longer than any test takes: who waits for it hangs.
    const NEVER: Duration = Duration::from_secs(600);

    fn server() -> (HttpServer, Arc<Metrics>, Arc<Health>) {
        let (metrics, health) = (Arc::new(Metrics::new("weather").unwrap()), Arc::new(Health::default()));
        let server =
            HttpServer::start(ANY, (Arc::clone(&metrics), Arc::clone(&health)), "weather", None).unwrap();
        (server, metrics, health)
    }

    fn server_within(limits: ConnectionLimits) -> HttpServer {
        let metrics = Arc::new(Metrics::new("weather").unwrap());
        let shown = Shown { pipeline: "weather".into(), metrics, health: Arc::default() };
        HttpServer::start_within(limits, ANY, router(shown)).unwrap()
    }

    /// Reads until the server closes the connection.
    fn is_closed(mut socket: &TcpStream) -> bool {
        match socket.read_to_end(&mut Vec::new()) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
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
        let record = RawRecord { offset: Offset(0), ..RawRecord::default() };
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
        HttpServer::start(addr, (metrics, health), "weather", None).unwrap().stop();
    }

    /// F3: a thousand connections that say nothing took all descriptors of the process, and the
    /// pipeline failed. Found by hostile testing.
    #[test]
    fn silent_connections_make_room_for_new_ones_and_not_for_each_other() {
        let limits = ConnectionLimits { connections: 3, head: NEVER, life: NEVER, last_answer: NEVER };
        let server = server_within(limits);
        let silent = [(); 10].map(|()| TcpStream::connect(server.local_addr()).unwrap());
        assert_eq!(ask(server.local_addr(), "GET /health").0, 200);
        assert!(silent[..7].iter().all(is_closed));
    }

    /// F3: of 500 clients that sent a byte a second none was closed. Found by hostile testing.
    #[test]
    fn a_request_that_trickles_in_is_cut_off() {
        let head = Duration::from_millis(200);
        let limits = ConnectionLimits { connections: 3, head, life: NEVER, last_answer: NEVER };
        let server = server_within(limits);
        let mut slow = TcpStream::connect(server.local_addr()).unwrap();
        let trickled = "GET /health HTTP/1.1\r\nX: ".bytes().chain(std::iter::repeat(b'a'));
        let mut until = trickled.take_while(|byte| {
            std::thread::sleep(Duration::from_millis(20));
            slow.write_all(&[*byte]).is_ok()
        });
        assert!(until.nth(1000).is_none(), "it was let on");
    }

    /// F3, the same kind: a client that asks well and again and again had its connection for ever.
    #[test]
    fn a_connection_ends_with_its_life_also_between_good_requests() {
        let limits = ConnectionLimits { connections: 3, head: NEVER, life: GRACE / 10, last_answer: NEVER };
        let server = server_within(limits);
        let mut talkative = TcpStream::connect(server.local_addr()).unwrap();
        talkative.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert!(is_closed(&talkative));
    }

    #[test]
    fn a_taken_address_is_named() {
        let (server, metrics, health) = server();
        let error = HttpServer::start(server.local_addr(), (metrics, health), "weather", None).unwrap_err();
        assert_eq!(error.kind, Kind::Io);
        assert!(error.to_string().contains(&server.local_addr().to_string()), "{error}");
    }
}
