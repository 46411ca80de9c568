//! Forecasts from closed windows: predict, score, then learn, always in that order.
//! It must not know Kafka, files or clocks; a closed window's batch comes in, forecast and score records go out, or
//! histories to train on.

mod bank;
#[cfg(test)]
mod bench;
mod block;
mod drift;
mod dtaci;
mod experts;
mod features;
mod gain;
mod interval;
mod matrix;
mod mixture;
mod network;
mod operator;
mod phases;
mod recorder;
mod records;
mod recursion;
mod ring;
mod rows;
mod scale;
mod season_level;
mod series;
mod waiting;

pub use experts::Word as Expert;
pub use network::network_spec;
pub use operator::{ForecastOperator, Weights, meaning};
pub use recorder::Recorder;
pub use records::{forecast_schema, score_schema};
