//! Score and forecast records by hand, for tests of what reads them.

use arrow::record_batch::RecordBatch;
use tickcast_forecast::{Forecast, Horizon, Results, Score};

use crate::message::EventTime;
use crate::record::{ResultBatches, forecast_schema, score_schema};

const HOUR_US: i64 = 3_600_000_000;

/// What a record is made of; the experts are naive and rnn, which said what is published.
#[derive(Debug, Clone, Copy)]
pub struct Scored {
    pub target: &'static str,
    pub horizon: Horizon,
    pub actual: f64,
    pub forecast: f64,
    pub naive: f64,
    /// Of level 0.9.
    pub interval: Option<(f64, f64)>,
}

impl Default for Scored {
    /// An error of 1 where naive has 2, within the interval.
    fn default() -> Self {
        Scored {
            target: "temp",
            horizon: Horizon(1),
            actual: 10.0,
            forecast: 9.0,
            naive: 8.0,
            interval: Some((8.0, 10.0)),
        }
    }
}

fn batches(rows: &[Scored]) -> (RecordBatch, RecordBatch) {
    let (forecasts, scores) = (forecast_schema(&[0.9], false), score_schema(&[0.9]));
    let mut results = ResultBatches::new(&forecasts, &scores, EventTime(0), rows.len());
    for &Scored { target, horizon, actual, forecast, naive, interval } in rows {
        let (series, issued_at) = ("a", EventTime(HOUR_US));
        let target_time = issued_at.plus_us(i64::from(horizon) * HOUR_US);
        let intervals = interval.as_slice();
        results.of(target).forecast(&Forecast {
            series,
            issued_at,
            target_time: Some(target_time),
            horizon,
            forecast,
            naive,
            intervals,
            prob_up: None,
            expert: "rnn",
            model_updates: 0,
            carried: false,
        });
        let experts = (&["naive", "rnn"][..], &[naive, forecast][..]);
        results.of(target).score(&Score {
            series,
            issued_at,
            target_time,
            horizon,
            actual,
            forecast,
            naive,
            intervals,
            experts,
        });
    }
    results.finish().unwrap()
}

/// The forecast records.
pub fn forecasts(rows: &[Scored]) -> RecordBatch {
    batches(rows).0
}

/// The score records.
pub fn scores(rows: &[Scored]) -> RecordBatch {
    batches(rows).1
}
