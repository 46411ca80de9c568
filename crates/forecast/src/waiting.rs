//! Forecasts of one series and horizon that wait for their truth.
//! It must not know how they were made, nor how they are scored.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tickcast_model::le_blob;

use super::interval::Spread;
use super::mixture::MixtureOutput;
use crate::time::EventTime;

/// A forecast that waits for its truth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PendingForecast {
    pub issued_at: EventTime,
    pub target_time: EventTime,
    pub forecast: f64,
    pub naive: f64,
    /// sigma_h at the origin, in the target's unit; 0: there was no scale.
    pub sigma: f64,
    /// The step of the series' track that made it.
    pub step: u64,
    /// Whether the target was observed in the window that made it.
    pub from_truth: bool,
    pub said: MixtureOutput,
    pub spread: Spread,
}

/// Intervals of a forecast: one (lower, upper) a level; none while there was no scale.
pub type Intervals = Vec<(f64, f64)>;

/// The forecasts of a horizon. A series has dozens of them, and they are copied and written for snapshots: so their
/// numbers lie together.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PendingQueue {
    /// In the order of their target times, each with the lengths of its bounds and its details.
    forecasts: VecDeque<(PendingForecast, usize, usize)>,
    /// Lower, upper, lower, upper, ...
    #[serde(with = "le_blob")]
    bounds: VecDeque<f64>,
    /// What its learners want back.
    #[serde(with = "le_blob")]
    details: VecDeque<f32>,
}

impl PendingQueue {
    /// The last of its target time.
    pub fn push(&mut self, forecast: PendingForecast, intervals: &[(f64, f64)], details: &[f32]) {
        self.forecasts.push_back((forecast, 2 * intervals.len(), details.len()));
        self.bounds.extend(intervals.iter().flat_map(|&(lower, upper)| [lower, upper]));
        self.details.extend(details);
    }

    /// Takes out the forecast of `time`. Those of earlier times go too: their windows passed, no truth will come.
    pub fn take(&mut self, time: EventTime) -> Option<(PendingForecast, Intervals, Vec<f32>)> {
        while let Some(&(forecast, bounds, details)) =
            self.forecasts.front().filter(|(next, ..)| next.target_time <= time)
        {
            self.forecasts.pop_front();
            let mut bounds = self.bounds.drain(..self.bounds.len().min(bounds));
            let details = self.details.drain(..self.details.len().min(details));
            if forecast.target_time == time {
                let pairs = std::iter::from_fn(|| bounds.next().zip(bounds.next()));
                return Some((forecast, pairs.collect(), details.collect()));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_comes_out_at_its_time_with_its_own_numbers() {
        let mut queue = PendingQueue::default();
        let forecast = |time: i64| PendingForecast {
            issued_at: EventTime(0),
            target_time: EventTime(time),
            forecast: time as f64,
            naive: 0.0,
            sigma: 1.0,
            step: 1,
            from_truth: true,
            said: MixtureOutput::default(),
            spread: Spread::default(),
        };
        queue.push(forecast(1), &[], &[]);
        queue.push(forecast(2), &[(1.0, 2.0), (0.0, 3.0)], &[0.5, 1.5]);
        queue.push(forecast(3), &[(4.0, 5.0), (3.0, 6.0)], &[2.5]);
        let bytes = postcard::to_stdvec(&queue).unwrap();
        let mut queue: PendingQueue = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(queue.take(EventTime(0)), None);
        assert_eq!(queue.take(EventTime(1)), Some((forecast(1), vec![], vec![])));
        let third = (forecast(3), vec![(4.0, 5.0), (3.0, 6.0)], vec![2.5]);
        assert_eq!(queue.take(EventTime(3)), Some(third), "2 is gone");
        assert_eq!(queue.take(EventTime(9)), None);
        assert!(queue.bounds.is_empty() && queue.details.is_empty());
    }
}
