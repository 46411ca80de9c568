//! The records that leave a pipeline: forecasts, scores and rejects. Each has one file with its
//! schema, its writer and its typed reader; all of them can be JSON lines.
//! It must not know where they go or come from; schemas/*.avsc say the same for Avro.

mod columns;
mod forecast;
mod headers;
mod interval;
mod json_lines;
mod json_rows;
mod json_times;
mod levels;
mod printable;
mod reject;
mod results;
mod score;
mod shape;

pub use forecast::{ForecastRow, ForecastRows, forecast_schema};
pub use headers::{HeaderRef, headers_type};
pub use interval::Interval;
pub use json_lines::{json_lines, lines};
pub use json_rows::{JsonRows, Undecodable};
pub use levels::{level_label, level_of};
pub use printable::{printable, steers};
pub use reject::{RejectBatch, RejectRow, RejectRows, reject_batch, reject_schema};
pub use results::{ResultBatches, TargetResults};
pub use score::{ScoreRow, ScoreRows, score_schema};
pub use shape::RecordShape;
