//! What a running pipeline has over HTTP: metrics, health, a page, and records that are posted.
//! It must not steer the pipeline: it reads what the runtime has told, and writes to its source's
//! log.

mod connections;
mod http;
mod ingest;
mod page;

pub use connections::ConnectionLimits;
pub use http::HttpServer;
pub use ingest::IngestRoute;
