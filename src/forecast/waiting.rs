//! Forecasts of one series and horizon that wait for their truth.
//! It must not know how they were made, nor how they are scored.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::block;
use crate::message::EventTime;

/// A forecast that waits for its truth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    pub issued_at: EventTime,
    pub target_time: EventTime,
    pub forecast: f64,
    pub naive: f64,
    /// The network's own forecast, if it is among the experts.
    pub rnn: Option<f64>,
    /// sigma_h at the origin, in the target's unit.
    pub sigma: f64,
    /// The step of the series' track that made it.
    pub step: u64,
}

/// Intervals of a forecast: one (lower, upper) a level; none while there was no scale.
pub type Intervals = Vec<(f64, f64)>;

/// The forecasts of a horizon. A series has dozens of them, and they are copied and written for snapshots: so their
/// intervals lie together.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Queue {
    /// In the order of their target times, each with the number of its intervals.
    forecasts: VecDeque<(Waiting, usize)>,
    /// Lower, upper, lower, upper, ...
    #[serde(with = "block")]
    bounds: VecDeque<f64>,
}

impl Queue {
    /// The last of its target time.
    pub fn push(&mut self, forecast: Waiting, intervals: &[(f64, f64)]) {
        self.forecasts.push_back((forecast, intervals.len()));
        self.bounds.extend(intervals.iter().flat_map(|&(lower, upper)| [lower, upper]));
    }

    /// Takes out the forecast of `time`. Those of earlier times go too: their windows passed, no truth will come.
    pub fn take(&mut self, time: EventTime) -> Option<(Waiting, Intervals)> {
        while let Some(&(forecast, intervals)) =
            self.forecasts.front().filter(|(next, _)| next.target_time <= time)
        {
            self.forecasts.pop_front();
            let mut bounds = self.bounds.drain(..self.bounds.len().min(2 * intervals));
            if forecast.target_time == time {
                let pairs = std::iter::from_fn(|| bounds.next().zip(bounds.next()));
                return Some((forecast, pairs.collect()));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_comes_out_at_its_time_with_its_own_intervals() {
        let mut queue = Queue::default();
        let forecast = |time: i64| Waiting {
            issued_at: EventTime(0),
            target_time: EventTime(time),
            forecast: time as f64,
            naive: 0.0,
            rnn: None,
            sigma: 1.0,
            step: 1,
        };
        queue.push(forecast(1), &[]);
        queue.push(forecast(2), &[(1.0, 2.0), (0.0, 3.0)]);
        queue.push(forecast(3), &[(4.0, 5.0), (3.0, 6.0)]);
        let bytes = postcard::to_stdvec(&queue).unwrap();
        let mut queue: Queue = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(queue.take(EventTime(0)), None);
        assert_eq!(queue.take(EventTime(1)), Some((forecast(1), vec![])));
        assert_eq!(queue.take(EventTime(3)), Some((forecast(3), vec![(4.0, 5.0), (3.0, 6.0)])), "2 is gone");
        assert_eq!(queue.take(EventTime(9)), None);
        assert!(queue.bounds.is_empty());
    }
}
