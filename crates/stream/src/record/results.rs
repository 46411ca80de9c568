//! What the forecasters of the targets make of one window, as a batch of forecast and a batch of
//! score records.
//! It must not compute: it hands each result to its writer.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tickcast_forecast::{Forecast, Results, Score};

use super::forecast::ForecastBatch;
use super::score::ScoreBatch;
use crate::error::Result;
use crate::message::EventTime;

/// Collects the forecast and score records of one window.
pub struct ResultBatches {
    forecasts: ForecastBatch,
    scores: ScoreBatch,
}

impl ResultBatches {
    /// Of a window that starts at `window_start`, with room for `records`: a window has few, and
    /// thousands of windows can wait for a sink.
    pub fn new(forecasts: &SchemaRef, scores: &SchemaRef, window_start: EventTime, records: usize) -> Self {
        ResultBatches {
            forecasts: ForecastBatch::new(Arc::clone(forecasts), window_start, records),
            scores: ScoreBatch::new(Arc::clone(scores), records),
        }
    }

    /// Takes in what is said of this target; targets follow each other in the records as they are
    /// taken in.
    pub fn of<'a>(&'a mut self, target: &'a str) -> TargetResults<'a> {
        TargetResults { target, batches: self }
    }

    /// The forecasts, then the scores. Errors: `Query`, when the columns do not fit together, which
    /// only a fault here can cause.
    pub fn finish(self) -> Result<(RecordBatch, RecordBatch)> {
        Ok((self.forecasts.finish()?, self.scores.finish()?))
    }
}

/// Takes in the results of one target.
pub struct TargetResults<'a> {
    target: &'a str,
    batches: &'a mut ResultBatches,
}

impl Results for TargetResults<'_> {
    fn forecast(&mut self, forecast: &Forecast<'_>) {
        self.batches.forecasts.push(self.target, forecast);
    }

    fn score(&mut self, score: &Score<'_>) {
        self.batches.scores.push(self.target, score);
    }
}
