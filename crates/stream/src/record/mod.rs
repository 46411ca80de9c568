//! The records that leave a pipeline: forecasts, scores and rejects, as Arrow columns and as JSON.
//! It must not know where they go or come from; schemas/*.avsc say the same for Avro.

mod json_lines;
mod json_rows;
mod results;

pub use json_lines::{json_lines, lines};
pub use json_rows::{JsonRows, Undecodable};
pub use results::{ResultBatches, forecast_schema, score_schema};
