//! A score beside the forecast that it judges: forecasts of a series and horizon wait until their truth comes.
//! It must not judge: it finds what belongs together, and counts what will never be scored.

use std::collections::VecDeque;

use tickcast_stream::message::EventTime;

/// A forecast and its truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    pub issued_at: EventTime,
    pub target_time: EventTime,
    pub actual: f64,
    pub forecast: f64,
    /// The last value when it was issued.
    pub naive: f64,
    /// (lower, upper) a level; empty while there was no scale.
    pub bounds: Vec<(f64, f64)>,
    /// The probability of a rise above the last value, and the share of rises when it was issued.
    pub up: Option<(f64, f64)>,
}

impl Pair {
    pub fn error(&self) -> f64 {
        self.actual - self.forecast
    }

    /// Whether the truth rose above the last value.
    pub fn is_up(&self) -> bool {
        self.actual > self.naive
    }
}

/// What of a forecast its score record does not repeat.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    pub issued_at: EventTime,
    pub target_time: EventTime,
    pub bounds: Vec<(f64, f64)>,
    pub up: Option<(f64, f64)>,
}

/// The forecasts of a series and horizon that wait, in the order in which they were issued: never more than the horizon
/// and one.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: VecDeque<Made>,
    /// Whose target window passed without a truth.
    pub dropped: u64,
}

impl Queue {
    /// The newest forecast. Those whose target windows have passed since are dropped.
    pub fn push(&mut self, made: Made) {
        self.drop_before(made.issued_at);
        self.waiting.push_back(made);
    }

    /// Takes out the forecast whose truth has come.
    pub fn take(&mut self, target_time: EventTime) -> Option<Made> {
        self.drop_before(target_time);
        self.waiting.pop_front_if(|made| made.target_time == target_time)
    }

    /// Those whose truth was not due at the end of the input.
    pub fn len(&self) -> u64 {
        self.waiting.len() as u64
    }

    fn drop_before(&mut self, time: EventTime) {
        while self.waiting.pop_front_if(|made| made.target_time < time).is_some() {
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(issued_at: i64) -> Made {
        let target_time = EventTime(issued_at + 2);
        Made { issued_at: EventTime(issued_at), target_time, bounds: vec![(0.0, issued_at as f64)], up: None }
    }

    #[test]
    fn a_score_finds_its_own_forecast() {
        let mut queue = Queue::default();
        (1..=3).for_each(|time| queue.push(made(time)));
        assert_eq!(queue.take(EventTime(3)), Some(made(1)));
        // The window that ended at 4 had no truth.
        assert_eq!(queue.take(EventTime(5)), Some(made(3)));
        assert_eq!((queue.dropped, queue.len()), (1, 0));
        assert_eq!(queue.take(EventTime(6)), None);
    }

    #[test]
    fn what_can_no_longer_be_scored_does_not_wait() {
        let mut queue = Queue::default();
        queue.push(made(1));
        // Issued in the window that is the truth of the first: it may be scored yet.
        queue.push(made(3));
        assert_eq!((queue.dropped, queue.len()), (0, 2));
        queue.push(made(100));
        assert_eq!((queue.dropped, queue.len()), (2, 1));
    }
}
