//! Windows that DataFusion plans, and SQL over a pipeline's results.
//! It must not know Kafka or the pipeline file. It is the only crate that links DataFusion.

pub mod query;
pub mod window;

pub use window::{Gaps, WindowSpec};
