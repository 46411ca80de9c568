//! SQL over a pipeline's results: the tables `forecasts`, `scores` and `rejects`, read from where
//! its sinks write.
//! It must not write anything but its answer: a query never changes a sink, a topic or a consumer
//! group.

mod batches;
mod output;
mod parquet;
mod scan;
mod session;

pub use output::OutputFormat;
pub use session::{Session, StreamTable};
