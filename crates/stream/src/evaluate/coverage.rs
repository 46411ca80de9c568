//! Coverage of intervals over stretches of 250 windows: of one series as it goes, and of all series
//! together over time.
//! It must not know levels: they are told apart by their place.

use std::collections::{BTreeMap, VecDeque};

use super::pairing::Pair;
use crate::message::EventTime;

/// Windows over which the worst coverage is looked for.
pub const COVERAGE_WINDOWS: usize = 250;

/// The least coverage over [`COVERAGE_WINDOWS`] consecutive truths of a series.
#[derive(Debug, Clone, Default)]
pub struct RollingCoverage {
    latest: VecDeque<bool>,
    covered: usize,
    worst: Option<usize>,
}

impl RollingCoverage {
    /// Takes in whether the interval of the next truth covered it.
    pub fn add(&mut self, covered: bool) {
        if self.latest.len() == COVERAGE_WINDOWS {
            let oldest = self.latest.pop_front();
            self.covered -= usize::from(oldest == Some(true));
        }
        self.latest.push_back(covered);
        self.covered += usize::from(covered);
        if self.latest.len() == COVERAGE_WINDOWS {
            self.worst = Some(self.worst.map_or(self.covered, |worst| worst.min(self.covered)));
        }
    }

    /// The share; none before there were so many.
    pub fn worst(&self) -> Option<f64> {
        self.worst.map(|covered| covered as f64 / COVERAGE_WINDOWS as f64)
    }
}

/// How often the intervals of one horizon held the truth, window by window. It grows by an entry a
/// window.
#[derive(Debug, Clone, Default)]
pub struct CoverageTimeline {
    windows: BTreeMap<EventTime, WindowCoverage>,
}

/// Truths of one window that had intervals, and how many of each level held them.
#[derive(Debug, Clone, Default)]
struct WindowCoverage {
    scored: u32,
    covered: Vec<u32>,
}

impl CoverageTimeline {
    /// Takes in a pair; nothing, when it has no intervals.
    pub fn add(&mut self, pair: &Pair) {
        if pair.intervals.is_empty() {
            return;
        }

        let window = self.windows.entry(pair.target_time).or_default();
        window.scored += 1;
        window.covered.resize(pair.intervals.len(), 0);
        for (covered, interval) in window.covered.iter_mut().zip(&pair.intervals) {
            *covered += u32::from(interval.covers(pair.actual));
        }
    }

    /// Takes in what another partition saw.
    pub fn merge(&mut self, other: &CoverageTimeline) {
        for (&time, other) in &other.windows {
            let window = self.windows.entry(time).or_default();
            window.scored += other.scored;
            window.covered.resize(other.covered.len(), 0);
            window.covered.iter_mut().zip(&other.covered).for_each(|(covered, other)| *covered += other);
        }
    }

    /// The coverage of a level over each [`COVERAGE_WINDOWS`] consecutive windows, all series
    /// together, with the end of the last of them.
    pub fn rolling(&self, level: usize) -> Vec<(EventTime, f64)> {
        let (mut latest, mut scored, mut covered) = (VecDeque::new(), 0u64, 0u64);
        let mut shares = Vec::new();

        for (&time, window) in &self.windows {
            let own = window.covered.get(level).copied().unwrap_or_default();
            latest.push_back((window.scored, own));
            scored += u64::from(window.scored);
            covered += u64::from(own);

            if latest.len() > COVERAGE_WINDOWS
                && let Some((oldest_scored, oldest_covered)) = latest.pop_front()
            {
                scored -= u64::from(oldest_scored);
                covered -= u64::from(oldest_covered);
            }
            if latest.len() == COVERAGE_WINDOWS {
                shares.push((time, covered as f64 / scored as f64));
            }
        }
        shares
    }

    /// The least of [`CoverageTimeline::rolling`].
    pub fn worst(&self, level: usize) -> Option<f64> {
        self.rolling(level).into_iter().map(|(_, share)| share).min_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Interval;

    fn pair(time: i64, actual: f64) -> Pair {
        Pair {
            issued_at: EventTime(time - 1),
            target_time: EventTime(time),
            actual,
            forecast: 0.0,
            naive: 0.0,
            intervals: vec![Interval { lower: -1.0, upper: 1.0 }],
            direction: None,
        }
    }

    #[test]
    fn the_worst_stretch_is_found_wherever_it_lies() {
        let mut rolling = RollingCoverage::default();
        (0..COVERAGE_WINDOWS - 1).for_each(|_| rolling.add(true));
        assert_eq!(rolling.worst(), None);
        (0..50).for_each(|_| rolling.add(false));
        (0..1000).for_each(|_| rolling.add(true));
        assert_eq!(rolling.worst(), Some(0.8));
    }

    #[test]
    fn rolling_coverage_pools_the_series_of_a_window() {
        let (mut one, mut other) = (CoverageTimeline::default(), CoverageTimeline::default());
        for time in 0..300 {
            one.add(&pair(time, 0.0));
            other.add(&pair(time, if time < 25 { 5.0 } else { 0.0 }));
        }
        one.merge(&other);
        let rolling = one.rolling(0);
        assert_eq!((rolling.len(), rolling[0]), (51, (EventTime(249), 0.95)));
        assert_eq!(rolling[50].1, 1.0);
        assert_eq!(one.worst(0), Some(0.95));
        assert_eq!(CoverageTimeline::default().worst(0), None);
    }
}
