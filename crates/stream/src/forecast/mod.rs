//! The forecast operator: closed windows as Arrow batches into a forecaster a target, their
//! forecasts and scores out as records.
//! It must not compute: `tickcast-forecast` does.

#[cfg(test)]
pub(crate) mod fixture;
mod operator;
pub(crate) mod parts;
#[cfg(test)]
mod recorder_tests;
#[cfg(test)]
mod target_tests;
mod targets;
#[cfg(test)]
mod tests;

pub use operator::ForecastOperator;
pub use targets::Targets;
