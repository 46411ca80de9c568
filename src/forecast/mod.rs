//! Forecasts from closed windows: predict, score, then learn, always in that order.
//! It must not know Kafka, files or clocks; a closed window's batch comes in, forecast and score records go out.

mod features;
mod interval;
mod operator;
mod records;
mod scale;
mod series;

pub use operator::{ForecastOperator, Weights};
pub use records::{forecast_schema, score_schema};
