//! What a report draws over time: coverage, weights and loss, some series closely, the worst moments.
//! It must not draw, and it is bounded: what is kept does not grow with the input, but for the timelines' one entry a window.

use std::collections::{BTreeMap, VecDeque};

use tickcast_stream::message::EventTime;
use tickcast_stream::operator::OperatorStats;

use super::measure::{COVERAGE_WINDOWS, is_covered};
use super::pairing::Pair;

/// Windows of a series that are shown: its latest.
const LATEST: usize = 500;
/// Windows on each side of the largest error.
const AROUND: usize = 60;
/// Largest errors that are kept of a series and horizon.
pub const WORST: usize = 10;
/// Samples of the learner; beyond, every second is dropped.
const SAMPLES: usize = 1024;

/// How often the intervals of one horizon held the truth, window by window.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    windows: BTreeMap<EventTime, Covered>,
}

/// Truths of one window that had intervals, and how many of each level held them.
#[derive(Debug, Clone, Default)]
struct Covered {
    scored: u32,
    covered: Vec<u32>,
}

impl Timeline {
    pub fn add(&mut self, pair: &Pair) {
        if pair.bounds.is_empty() {
            return;
        }
        let window = self.windows.entry(pair.target_time).or_default();
        window.scored += 1;
        window.covered.resize(pair.bounds.len(), 0);
        for (covered, &bounds) in window.covered.iter_mut().zip(&pair.bounds) {
            *covered += u32::from(is_covered(bounds, pair.actual));
        }
    }

    /// Takes in what another partition saw.
    pub fn merge(&mut self, other: &Timeline) {
        for (&time, other) in &other.windows {
            let window = self.windows.entry(time).or_default();
            window.scored += other.scored;
            window.covered.resize(other.covered.len(), 0);
            window.covered.iter_mut().zip(&other.covered).for_each(|(covered, other)| *covered += other);
        }
    }

    /// The coverage of a level over each [`COVERAGE_WINDOWS`] consecutive windows, all series together, with the end of the
    /// last of them.
    pub fn rolling(&self, level: usize) -> Vec<(EventTime, f64)> {
        let windows = self.windows.iter().map(|(&time, window)| {
            (time, window.scored, window.covered.get(level).copied().unwrap_or_default())
        });
        let (mut latest, mut sums) = (VecDeque::new(), (0u64, 0u64));
        let mut shares = Vec::new();
        for (time, scored, covered) in windows {
            latest.push_back((scored, covered));
            sums = (sums.0 + u64::from(scored), sums.1 + u64::from(covered));
            if latest.len() > COVERAGE_WINDOWS
                && let Some((scored, covered)) = latest.pop_front()
            {
                sums = (sums.0 - u64::from(scored), sums.1 - u64::from(covered));
            }
            if latest.len() == COVERAGE_WINDOWS {
                shares.push((time, sums.1 as f64 / sums.0 as f64));
            }
        }
        shares
    }

    /// The least of [`Timeline::rolling`].
    pub fn worst(&self, level: usize) -> Option<f64> {
        self.rolling(level).into_iter().map(|(_, share)| share).min_by(f64::total_cmp)
    }
}

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

/// The largest errors of a series at one horizon, the largest first.
#[derive(Debug, Clone, Default)]
pub struct TopErrors(pub Vec<Pair>);

impl TopErrors {
    pub fn add(&mut self, pair: &Pair) {
        let size = pair.error().abs();
        let place = self.0.partition_point(|known| known.error().abs() >= size);
        if place < WORST {
            self.0.insert(place, pair.clone());
            self.0.truncate(WORST);
        }
    }
}

impl RecentPairs {
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

    pub fn latest(&self) -> impl Iterator<Item = &Pair> {
        self.latest.iter()
    }

    pub fn around_the_worst(&self) -> impl Iterator<Item = &Pair> {
        self.around.iter()
    }
}

/// The learner of a partition now and then.
#[derive(Debug, Default)]
pub struct Samples {
    pub taken: Vec<(EventTime, OperatorStats)>,
    /// Only every so many-th is kept.
    stride: usize,
    seen: usize,
}

impl Samples {
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
            bounds: vec![(-1.0, 1.0)],
            up: None,
        }
    }

    #[test]
    fn rolling_coverage_pools_the_series_of_a_window() {
        let (mut one, mut other) = (Timeline::default(), Timeline::default());
        for time in 0..300 {
            one.add(&pair(time, 0.0));
            other.add(&pair(time, if time < 25 { 5.0 } else { 0.0 }));
        }
        one.merge(&other);
        let rolling = one.rolling(0);
        assert_eq!((rolling.len(), rolling[0]), (51, (EventTime(249), 0.95)));
        assert_eq!(rolling[50].1, 1.0);
        assert_eq!(one.worst(0), Some(0.95));
        assert_eq!(Timeline::default().worst(0), None);
    }

    #[test]
    fn the_worst_moment_is_seen_from_both_sides() {
        let (mut shown, mut worst) = (RecentPairs::default(), TopErrors::default());
        for time in 0..2000 {
            let pair = pair(time, if time == 700 { 9.0 } else { 1.0 + time as f64 / 1e4 });
            worst.add(&pair);
            shown.add(pair);
        }
        let times: Vec<i64> = shown.around_the_worst().map(|pair| pair.target_time.0).collect();
        assert_eq!(times, (640..=760).collect::<Vec<_>>());
        assert_eq!((worst.0.len(), worst.0[0].target_time.0, worst.0[1].target_time.0), (10, 700, 1999));
        assert_eq!((shown.latest().count(), shown.latest[0].target_time.0), (500, 1500));
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
