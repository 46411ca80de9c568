//! The forecast operator: closed windows as Arrow batches into a forecaster, its forecasts and
//! scores out as records.
//! It must not compute: `tickcast-forecast` does.

#[cfg(test)]
pub(crate) mod fixture;
mod operator;
#[cfg(test)]
mod recorder_tests;
#[cfg(test)]
mod tests;

pub use operator::ForecastOperator;
