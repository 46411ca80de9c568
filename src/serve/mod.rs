//! What a running pipeline shows of itself over HTTP: metrics, health, a page.
//! It must not steer the pipeline: it reads what the runtime has told.

mod connections;
mod http;
mod page;

pub use connections::ConnectionLimits;
pub use http::HttpServer;
