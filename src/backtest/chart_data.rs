//! What a report draws over time: some series closely, the worst moments, weights and loss.
//! It must not draw, and it is bounded: what is kept does not grow with the input.

use std::collections::VecDeque;

use tickcast_forecast::ForecasterStats;
use tickcast_stream::evaluate::Pair;
use tickcast_stream::message::EventTime;
use tickcast_stream::operator::OperatorStats;

/// Windows of a series that are shown: its latest.
const LATEST: usize = 500;
/// Windows on each side of the largest error.
const AROUND: usize = 60;
/// Largest errors that are kept of a series and horizon.
pub const WORST: usize = 10;
/// Samples of the learner; beyond, every second is dropped.
const SAMPLES: usize = 1024;

/// What is shown of a series at one horizon.
#[derive(Debug, Clone, Default)]
pub struct RecentPairs {
    latest: VecDeque<Pair>,
    /// Around the largest error.
    around: Vec<Pair>,
    /// How many more belong behind it.
    missing: usize,
    largest: f64,
}

impl RecentPairs {
    /// Takes in the next pair.
    pub fn add(&mut self, pair: Pair) {
        let size = pair.error().abs();
        if size > self.largest {
            self.largest = size;
            let from = self.latest.len().saturating_sub(AROUND);
            self.around = self.latest.range(from..).cloned().collect();
            self.missing = AROUND + 1;
        }

        if self.missing > 0 {
            self.around.push(pair.clone());
            self.missing -= 1;
        }

        if self.latest.len() == LATEST {
            self.latest.pop_front();
        }
        self.latest.push_back(pair);
    }

    /// The latest pairs, in order.
    pub fn latest(&self) -> impl Iterator<Item = &Pair> {
        self.latest.iter()
    }

    /// Those around the largest error, in order.
    pub fn around_the_worst(&self) -> impl Iterator<Item = &Pair> {
        self.around.iter()
    }
}

/// The largest errors of a series at one horizon, the largest first.
#[derive(Debug, Clone, Default)]
pub struct TopErrors(pub Vec<Pair>);

impl TopErrors {
    /// Keeps a pair, if its error is among the [`WORST`] largest.
    pub fn add(&mut self, pair: &Pair) {
        let size = pair.error().abs();
        let place = self.0.partition_point(|known| known.error().abs() >= size);
        if place < WORST {
            self.0.insert(place, pair.clone());
            self.0.truncate(WORST);
        }
    }
}

/// The learner of a partition now and then.
#[derive(Debug, Default)]
pub struct Samples {
    /// When it was looked at, and what it said.
    pub taken: Vec<(EventTime, OperatorStats)>,
    /// Only every so many-th is kept.
    stride: usize,
    seen: usize,
}

impl Samples {
    /// What the forecaster of the `nth` target said.
    pub fn of(&self, nth: usize) -> impl Iterator<Item = (EventTime, &ForecasterStats)> {
        self.taken.iter().filter_map(move |(time, stats)| Some((*time, &stats.targets.get(nth)?.forecaster)))
    }

    /// What the learner says now.
    pub fn add(&mut self, time: EventTime, stats: OperatorStats) {
        self.stride = self.stride.max(1);
        if self.seen.is_multiple_of(self.stride) {
            self.taken.push((time, stats));
        }
        self.seen += 1;

        if self.taken.len() > SAMPLES {
            let mut nth = 0;
            self.taken.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
            self.stride *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(time: i64, actual: f64) -> Pair {
        Pair {
            issued_at: EventTime(time - 1),
            target_time: EventTime(time),
            actual,
            forecast: 0.0,
            naive: 0.0,
            intervals: Vec::new(),
            direction: None,
        }
    }

    #[test]
    fn the_worst_moment_is_seen_from_both_sides() {
        let (mut recent, mut top) = (RecentPairs::default(), TopErrors::default());
        for time in 0..2000 {
            let pair = pair(time, if time == 700 { 9.0 } else { 1.0 + time as f64 / 1e4 });
            top.add(&pair);
            recent.add(pair);
        }
        let times: Vec<i64> = recent.around_the_worst().map(|pair| pair.target_time.0).collect();
        assert_eq!(times, (640..=760).collect::<Vec<_>>());
        assert_eq!((top.0.len(), top.0[0].target_time.0, top.0[1].target_time.0), (10, 700, 1999));
        assert_eq!((recent.latest().count(), recent.latest[0].target_time.0), (500, 1500));
    }

    #[test]
    fn samples_thin_out_evenly() {
        let mut samples = Samples::default();
        (0..10_000).for_each(|time| samples.add(EventTime(time), OperatorStats::default()));
        let times: Vec<i64> = samples.taken.iter().map(|(time, _)| time.0).collect();
        assert!(times.len() <= SAMPLES + 1 && times.len() > SAMPLES / 2, "{}", times.len());
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == times[1] - times[0]), "{times:?}");
    }
}
