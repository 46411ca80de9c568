//! Records that are posted: taken with the answer that they are durable, or refused with the
//! reason.
//! It must not know the log that they go to, nor what a record is.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hyper::body::Body as _;
use serde::Deserialize;
use tickcast_connect::ingest::{
    BodyKind, HttpIngestSpec, IngestGate, Refusal, key_in_json, shows_token, unzip,
};
use tickcast_stream::error::Retry;
use tickcast_stream::message::{EventTime, RawRecord};
use tickcast_stream::telemetry::Metrics;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// So many bodies of the largest size are held at a time, or more that are smaller.
const LARGEST_BODIES: usize = 8;
/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// How much of a body that is too large is still read, in bodies that are not: a client that is cut
/// off while it sends may not see the answer.
const DRAINED_BODIES: usize = 4;
const RETRY_SECONDS: &str = "1";

/// Where records are posted.
#[derive(Clone)]
pub struct IngestRoute(Arc<Parts>);

struct Parts {
    spec: HttpIngestSpec,
    gate: IngestGate,
    metrics: Arc<Metrics>,
    /// A permit a byte that is held.
    room: Arc<Semaphore>,
}

#[derive(Deserialize)]
struct Parameters {
    precision: Option<String>,
}

impl IngestRoute {
    /// Puts records into this gate.
    pub fn new(spec: HttpIngestSpec, gate: IngestGate, metrics: Arc<Metrics>) -> Self {
        let room = Arc::new(Semaphore::new(spec.body_bytes_max * LARGEST_BODIES));
        for outcome in Refusal::WORDS.into_iter().chain([TAKEN]) {
            metrics.ingest_requests(outcome, 0);
        }
        metrics.ingest_records(0);
        IngestRoute(Arc::new(Parts { spec, gate, metrics, room }))
    }

    /// Answers at the spec's path.
    pub fn router(self) -> Router {
        Router::new().route(&self.0.spec.path.clone(), post(answer)).with_state(self)
    }
}

const TAKEN: &str = "taken";

async fn answer(
    State(route): State<IngestRoute>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let metrics = Arc::clone(&route.0.metrics);

    match take(route, parameters, headers, body).await {
        Ok(()) => {
            metrics.ingest_requests(TAKEN, 1);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(refusal) => {
            tracing::debug!(%refusal, "a request was refused");
            metrics.ingest_requests(refusal.word(), 1);
            refused(&refusal)
        }
    }
}

fn refused(refusal: &Refusal) -> Response {
    let text = format!("{refusal}\n");
    match refusal {
        Refusal::NotRecords(_) | Refusal::CutOff => (StatusCode::BAD_REQUEST, text).into_response(),
        Refusal::OfWebPage => (StatusCode::FORBIDDEN, text).into_response(),
        Refusal::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, text).into_response(),
        Refusal::WrongType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response(),
        Refusal::Unauthorized => {
            (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], text).into_response()
        }
        Refusal::Busy | Refusal::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, RETRY_SECONDS)], text).into_response()
        }
    }
}

/// Returns when the records of a request are durable.
async fn take(
    route: IngestRoute,
    parameters: Parameters,
    headers: HeaderMap,
    body: Body,
) -> Result<(), Refusal> {
    let parts = &route.0;
    authorize(parts, &headers)?;

    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let kind = parts.spec.body.kind(text(CONTENT_TYPE), parameters.precision.as_deref())?;
    let is_zipped = match text(CONTENT_ENCODING).map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "identity") => false,
        Some("gzip" | "x-gzip") => true,
        Some(_) => return Err(Refusal::WrongType("this takes content-encoding gzip, or none".into())),
    };

    let most = parts.spec.body_bytes_max;
    let length = text(CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if length.is_some_and(|length| length > most.saturating_mul(DRAINED_BODIES)) {
        return Err(too_large(most));
    }
    let room = room(parts, length.unwrap_or(most).min(most) + if is_zipped { most } else { 0 }).await?;
    let body = read(body, most).await?;

    let route = route.clone();
    let stored = tokio::task::spawn_blocking(move || {
        let stored = store(&route.0, kind, body, is_zipped);
        // Also where the client has left meanwhile, its bytes are held until here.
        drop(room);
        stored
    });
    stored.await.unwrap_or_else(|panic| {
        tracing::error!(%panic, "storing records failed; this is a bug in tickcast");
        Err(Refusal::Unavailable)
    })
}

fn authorize(parts: &Parts, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(token) = &parts.spec.token else {
        // Any page in a browser of this machine could post to an address of loopback.
        return if headers.contains_key(ORIGIN) { Err(Refusal::OfWebPage) } else { Ok(()) };
    };
    match shows_token(token, headers.get(AUTHORIZATION).map(|value| value.as_bytes())) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Refusal::Unauthorized),
        Err(cause) => {
            tracing::error!(%cause, "source.http.token_file cannot be read: no request is taken");
            Err(Refusal::Unavailable)
        }
    }
}

/// Waits until so many bytes may be held.
async fn room(parts: &Parts, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
    let wanted = u32::try_from(bytes).unwrap_or(u32::MAX);
    match timeout(TURN, Arc::clone(&parts.room).acquire_many_owned(wanted)).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(Refusal::Busy),
    }
}

/// A body of at most so many bytes.
async fn read(mut body: Body, bytes_max: usize) -> Result<Bytes, Refusal> {
    let (mut bytes, mut length) = (Vec::new(), 0_usize);
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| Refusal::CutOff)?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length <= bytes_max {
            bytes.extend_from_slice(&data);
        } else if length > bytes_max.saturating_mul(DRAINED_BODIES) {
            break;
        } else {
            bytes = Vec::new();
        }
    }

    if length > bytes_max {
        return Err(too_large(bytes_max));
    }
    Ok(bytes.into())
}

fn too_large(bytes_max: usize) -> Refusal {
    Refusal::TooLarge(format!("the body has more than {bytes_max} bytes"))
}

/// Makes records of a body and stores them.
fn store(parts: &Parts, kind: BodyKind, body: Bytes, is_zipped: bool) -> Result<(), Refusal> {
    let body = if is_zipped { unzip(&body, parts.spec.body_bytes_max)? } else { body };
    let at = now();
    let records = parts.spec.body.records(kind, &body, at)?;
    let columns = &parts.spec.key_columns;
    let key = |value: &Bytes| if columns.is_empty() { None } else { key_in_json(columns, value) };

    let record = |value: Bytes| RawRecord {
        timestamp: Some(at),
        key: key(&value),
        payload: Some(value),
        ..RawRecord::default()
    };
    let records: Vec<RawRecord> = records.into_iter().map(record).collect();

    let count = records.len() as u64;
    parts.gate.append(records).map_err(|not_stored| {
        let again = not_stored.retry == Retry::Later;
        tracing::warn!(why = not_stored.why, again, "posted records are not stored");
        Refusal::Unavailable
    })?;
    // Here, as the client may have left meanwhile.
    parts.metrics.ingest_records(count);
    Ok(())
}

/// When records came in, which is part of them from here on.
fn now() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
