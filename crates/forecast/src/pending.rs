//! Forecasts of one series and horizon that wait for their truth.
//! It must not know how they were made, nor how they are scored.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tickcast_model::le_blob;

use super::mixture::MixtureOutput;
use super::spread::Spread;
use crate::time::EventTime;

/// A forecast that waits for its truth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PendingForecast {
    /// The end of the window that it was made from.
    pub issued_at: EventTime,
    /// The end of the window that it is about.
    pub target_time: EventTime,
    /// What was published, in the target's unit.
    pub forecast: f64,
    /// The last value of the target when it was made.
    pub naive: f64,
    /// sigma_h at the origin, in the target's unit; 0: there was no scale.
    pub sigma: f64,
    /// The step of the series that made it.
    pub step: u64,
    /// Whether the target was observed in the window that made it.
    pub from_truth: bool,
    /// What the mixture predicted.
    pub mixture: MixtureOutput,
    /// The spread that was expected of it.
    pub spread: Spread,
}

/// Intervals of a forecast: one (lower, upper) a level; none while there was no scale.
pub type Intervals = Vec<(f64, f64)>;

/// A forecast whose window has closed.
#[derive(Debug, Clone, PartialEq)]
pub struct DueForecast {
    /// The forecast.
    pub made: PendingForecast,
    /// Its intervals.
    pub intervals: Intervals,
    /// What its learners want back.
    pub details: Vec<f32>,
}

/// The forecasts of a horizon. A series has dozens of them, and they are copied and written for
/// snapshots: so their numbers lie together.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PendingQueue {
    /// In the order of their target times.
    forecasts: VecDeque<QueuedForecast>,
    /// Lower, upper, lower, upper, ...
    #[serde(with = "le_blob")]
    bounds: VecDeque<f64>,
    /// What their learners want back.
    #[serde(with = "le_blob")]
    details: VecDeque<f32>,
}

/// A forecast, and how many of the queue's numbers are its own.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct QueuedForecast {
    made: PendingForecast,
    bounds: usize,
    details: usize,
}

impl PendingQueue {
    /// Adds a forecast. No other one waits for its target time or a later one.
    pub fn push(&mut self, made: PendingForecast, intervals: &[(f64, f64)], details: &[f32]) {
        let (bounds, numbers) = (2 * intervals.len(), details.len());
        self.forecasts.push_back(QueuedForecast { made, bounds, details: numbers });
        self.bounds.extend(intervals.iter().flat_map(|&(lower, upper)| [lower, upper]));
        self.details.extend(details);
    }

    /// Takes out the forecast of `time`. Those of earlier times go too: their windows passed, no
    /// truth will come.
    pub fn take(&mut self, time: EventTime) -> Option<DueForecast> {
        while let Some(next) = self.forecasts.pop_front_if(|next| next.made.target_time <= time) {
            let mut bounds = self.bounds.drain(..self.bounds.len().min(next.bounds));
            let details = self.details.drain(..self.details.len().min(next.details));

            if next.made.target_time == time {
                let intervals = std::iter::from_fn(|| bounds.next().zip(bounds.next())).collect();
                return Some(DueForecast { made: next.made, intervals, details: details.collect() });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecast(time: i64) -> PendingForecast {
        PendingForecast {
            issued_at: EventTime(0),
            target_time: EventTime(time),
            forecast: time as f64,
            naive: 0.0,
            sigma: 1.0,
            step: 1,
            from_truth: true,
            mixture: MixtureOutput::default(),
            spread: Spread::default(),
        }
    }

    #[test]
    fn a_forecast_comes_out_at_its_time_with_its_own_numbers() {
        let mut queue = PendingQueue::default();
        queue.push(forecast(1), &[], &[]);
        queue.push(forecast(2), &[(1.0, 2.0), (0.0, 3.0)], &[0.5, 1.5]);
        queue.push(forecast(3), &[(4.0, 5.0), (3.0, 6.0)], &[2.5]);
        let bytes = postcard::to_stdvec(&queue).unwrap();
        let mut queue: PendingQueue = postcard::from_bytes(&bytes).unwrap();

        assert_eq!(queue.take(EventTime(0)), None);
        let first = DueForecast { made: forecast(1), intervals: vec![], details: vec![] };
        assert_eq!(queue.take(EventTime(1)), Some(first));
        let third =
            DueForecast { made: forecast(3), intervals: vec![(4.0, 5.0), (3.0, 6.0)], details: vec![2.5] };
        assert_eq!(queue.take(EventTime(3)), Some(third), "2 is gone");
        assert_eq!(queue.take(EventTime(9)), None);
        assert!(queue.bounds.is_empty() && queue.details.is_empty());
    }
}
