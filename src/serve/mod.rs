//! What a running pipeline shows of itself: metrics, health, a page.
//! It must not steer the pipeline: the runtime tells it things, and it never answers back.

mod health;
mod http;
mod metrics;
mod page;
mod scoreboard;

pub use health::{Health, Part, Status};
pub use http::HttpServer;
pub use metrics::Metrics;
pub use scoreboard::{Score, Scoreboard, aligned, percent, significant};
