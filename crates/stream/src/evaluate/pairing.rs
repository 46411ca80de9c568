//! A score beside the forecast that it judges: forecasts of a series and horizon wait until their
//! truth comes.
//! It must not judge: it finds what belongs together, and counts what will never be scored.

use std::collections::VecDeque;

use tickcast_forecast::Horizon;

use crate::message::EventTime;
use crate::record::{ForecastRow, Interval, ScoreRow};

/// A forecast of whether the target rises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DirectionForecast {
    /// Probability of a rise above the last value.
    pub probability: f64,
    /// Share of rises among the truths that were known when it was issued.
    pub base_rate: f64,
}

/// A forecast and its truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The end of the window that the forecast was made from.
    pub issued_at: EventTime,
    /// The end of the window that it is about.
    pub target_time: EventTime,
    /// The truth, in the target's unit.
    pub actual: f64,
    /// What was published.
    pub forecast: f64,
    /// The last value when it was issued.
    pub naive: f64,
    /// One interval a level; empty while there was no scale.
    pub intervals: Vec<Interval>,
    /// Where the direction was forecast too.
    pub direction: Option<DirectionForecast>,
}

impl Pair {
    /// The truth less the forecast.
    pub fn error(&self) -> f64 {
        self.actual - self.forecast
    }

    /// The truth less the last value: the error of naive.
    pub fn naive_error(&self) -> f64 {
        self.actual - self.naive
    }

    /// Whether its errors and their squares are numbers. One that is none would spoil a mean for
    /// good.
    pub fn is_finite(&self) -> bool {
        (self.error().powi(2) + self.naive_error()).is_finite()
    }

    /// Whether the truth rose above the last value.
    pub fn is_up(&self) -> bool {
        self.actual > self.naive
    }
}

/// What of a forecast its score record does not repeat.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenForecast {
    /// The end of the window that it was made from.
    pub issued_at: EventTime,
    /// The end of the window that it is about; none where nobody knew it.
    pub target_time: Option<EventTime>,
    /// From the one to the other, in windows.
    pub horizon: Horizon,
    /// One interval a level; empty while there was no scale.
    pub intervals: Vec<Interval>,
    /// Where the direction was forecast too.
    pub direction: Option<DirectionForecast>,
}

impl OpenForecast {
    /// Of a record, issued when `base_rate` was the share of rises.
    pub fn of(row: &ForecastRow<'_>, base_rate: f64) -> Self {
        let direction = |probability| DirectionForecast { probability, base_rate };
        OpenForecast {
            issued_at: row.issued_at(),
            target_time: row.target_time(),
            horizon: row.horizon(),
            intervals: row.intervals(),
            direction: row.prob_up().map(direction),
        }
    }

    /// With the score record that judges it.
    pub fn scored(self, row: &ScoreRow<'_>) -> Pair {
        Pair {
            issued_at: self.issued_at,
            target_time: row.target_time(),
            actual: row.actual(),
            forecast: row.forecast(),
            naive: row.naive(),
            intervals: self.intervals,
            direction: self.direction,
        }
    }
}

/// The forecasts of a series and horizon that wait, in the order in which they were issued: never
/// more than the horizon and one.
#[derive(Debug, Default)]
pub struct OpenForecasts {
    waiting: VecDeque<OpenForecast>,
    /// Those whose target window passed without a truth.
    pub dropped: u64,
}

impl OpenForecasts {
    /// The newest forecast. Those whose target windows have passed since are dropped.
    pub fn push(&mut self, made: OpenForecast) {
        let (now, horizon) = (made.issued_at, made.horizon);
        self.waiting.push_back(made);
        // Without a target time the windows of the series are counted.
        let has_passed = |made: &OpenForecast, waiting: usize| match made.target_time {
            Some(target_time) => target_time < now,
            None => waiting > horizon.steps() + 1,
        };
        while self.waiting.front().is_some_and(|made| has_passed(made, self.waiting.len())) {
            self.waiting.pop_front();
            self.dropped += 1;
        }
    }

    /// Takes out the forecast whose truth has come, by when it was made. Those before it are
    /// dropped.
    pub fn take(&mut self, issued_at: EventTime) -> Option<OpenForecast> {
        let at = self.waiting.iter().position(|made| made.issued_at == issued_at)?;
        self.dropped += at as u64;
        self.waiting.drain(..=at).next_back()
    }

    /// Those whose truth was not due at the end of the input.
    pub fn len(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(issued_at: i64) -> OpenForecast {
        let intervals = vec![Interval { lower: 0.0, upper: issued_at as f64 }];
        let (issued_at, target_time) = (EventTime(issued_at), Some(EventTime(issued_at + 2)));
        OpenForecast { issued_at, target_time, horizon: Horizon(2), intervals, direction: None }
    }

    fn without_target(issued_at: i64) -> OpenForecast {
        OpenForecast { target_time: None, ..made(issued_at) }
    }

    #[test]
    fn a_score_finds_its_own_forecast() {
        let mut open = OpenForecasts::default();
        (1..=3).for_each(|time| open.push(made(time)));
        assert_eq!(open.take(EventTime(1)), Some(made(1)));
        // The window that ended at 4 had no truth.
        assert_eq!(open.take(EventTime(3)), Some(made(3)));
        assert_eq!((open.dropped, open.is_empty()), (1, true));
        assert_eq!(open.take(EventTime(4)), None);
    }

    /// Windows of two series' own may end at the same time, and a later one may end earlier.
    #[test]
    fn without_target_times_windows_are_counted() {
        let mut open = OpenForecasts::default();
        [5, 5, 4, 9].into_iter().for_each(|time| open.push(without_target(time)));
        assert_eq!((open.dropped, open.len()), (1, 3), "of the first, nothing came two windows later");
        assert_eq!(open.take(EventTime(5)), Some(without_target(5)));
        assert_eq!(open.take(EventTime(4)), Some(without_target(4)));
        assert_eq!((open.dropped, open.len()), (1, 1));
    }

    #[test]
    fn what_can_no_longer_be_scored_does_not_wait() {
        let mut open = OpenForecasts::default();
        open.push(made(1));
        // Issued in the window that is the truth of the first: it may be scored yet.
        open.push(made(3));
        assert_eq!((open.dropped, open.len()), (0, 2));
        open.push(made(100));
        assert_eq!((open.dropped, open.len()), (2, 1));
    }
}
