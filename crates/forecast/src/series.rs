//! What is remembered of one series' values: scales, levels, the newest of them.
//! It must not know other series, nor what is forecast.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::bounds::LowestValue;
use super::scale::{Level, StepScale};
use super::season_level::SeasonLevel;
use crate::horizon::Horizon;
use crate::lags::{lengths, seasons};
use crate::room;
use crate::spec::ForecastSpec;

/// One feature column of a series.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Column {
    /// The newest value that was not null.
    pub value: Option<f64>,
    /// From the value before it; 0 where none was observed.
    pub difference: f64,
    /// What its values have been.
    pub level: Level,
    /// What its differences have been.
    pub step: StepScale,
}

impl Column {
    fn update(&mut self, value: f64) {
        if let Some(before) = self.value {
            self.difference = value - before;
            self.step.update(self.difference);
        }
        self.level.update(value);
        self.value = Some(value);
    }
}

/// What is remembered of one series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SeriesHistory {
    /// The target first.
    pub columns: Vec<Column>,
    /// The target's values with the numbers of their windows, newest last.
    recent: VecDeque<(i64, f64)>,
    /// How many windows back a value may be asked for, less one.
    memory: i64,
    /// Of the target, over its life.
    pub lowest: LowestValue,
    /// Scales of the target's differences by their length in windows, ascending.
    steps: Box<[(u32, StepScale)]>,
    /// What is usual for the target in each season that is not too long for it.
    usual: Vec<SeasonLevel>,
}

/// A scale below this part of the value is rounding.
pub const ROUNDING: f64 = 1e-12;
/// Differences of nothing after which nothing is expected: as many as there are pseudo-residuals
/// in the interval of a series that moves.
const STILL: u64 = 20;

impl SeriesHistory {
    /// A series without values. `memory`: windows that it remembers.
    pub fn new(spec: &ForecastSpec, memory: i64) -> Self {
        let lengths = spec.horizons.iter().map(|horizon| horizon.0).chain(lengths(spec));
        let lengths: BTreeSet<u32> = lengths.collect();
        SeriesHistory {
            columns: vec![Column::default(); spec.features.len()],
            recent: VecDeque::new(),
            memory,
            lowest: LowestValue::default(),
            steps: lengths.into_iter().map(|length| (length, StepScale::default())).collect(),
            usual: seasons(spec)
                .into_iter()
                .filter(|&period| SeasonLevel::is_for(period))
                .map(|period| SeasonLevel::new(period, &spec.horizons))
                .collect(),
        }
    }

    /// Takes in the values of the window numbered `n`, the target first. A null leaves the column
    /// as it was. A repeated row is not an observation: it moves the memory on, and no scale.
    pub fn update(&mut self, n: i64, values: &[Option<f64>], observed: bool) {
        for (column, value) in self.columns.iter_mut().zip(values) {
            match value {
                Some(value) if observed => column.update(*value),
                _ => column.difference = 0.0,
            }
        }

        let Some(value) = self.columns[0].value else { return };
        // The newest, those of its memory, and one before them.
        room::at_the_end(
            &mut self.recent,
            1,
            usize::try_from(self.memory).unwrap_or(usize::MAX).saturating_add(1),
        );
        self.recent.push_back((n, value));
        // One at or before the furthest window stays: it is the value there.
        while self.recent.get(1).is_some_and(|&(second, _)| second <= n - self.memory + 1) {
            self.recent.pop_front();
        }

        if observed && values[0].is_some() {
            self.lowest.update(value);
            for (length, scale) in &mut self.steps {
                if let Some(then) = back(&self.recent, *length) {
                    scale.update(value - then);
                }
            }
        }

        let level = &self.columns[0].level;
        let value = (observed && values[0].is_some()).then(|| level.tame(value));
        for usual in &mut self.usual {
            usual.update(n, mean_of_last(&self.recent, usual.period(), level), value);
        }
    }

    /// How far the target is from its mean as a rule, at the phase so many windows from now of the
    /// longest season that has a table; none while that is not known.
    pub fn deviation(&self, ahead: u32) -> Option<f64> {
        let &(newest, _) = self.recent.back()?;
        self.usual.last()?.deviation(newest + i64::from(ahead))
    }

    /// How far the target is from what is usual, in a season of `period` windows, so many windows
    /// from now, in units of how far it is as a rule; 0 while that is not known.
    pub fn to_usual(&self, period: u32, horizon: Horizon) -> f64 {
        let (Some(&(newest, value)), Some(usual)) =
            (self.recent.back(), self.usual.iter().find(|usual| usual.period() == period))
        else {
            return 0.0;
        };
        usual.to_usual(newest, value, horizon)
    }

    /// The target's value as of `steps` windows before the newest: in a gap, the one before it.
    /// None before the first.
    pub fn back(&self, steps: u32) -> Option<f64> {
        back(&self.recent, steps)
    }

    /// `x[t] - x[t - steps]`.
    pub fn difference(&self, steps: u32) -> Option<f64> {
        Some(self.back(0)? - self.back(steps)?)
    }

    /// sigma_h: the scale of the target's differences over a horizon, in its unit; 0 while nothing
    /// moves.
    pub fn sigma(&self, horizon: Horizon) -> f64 {
        let rms = self.step_scale(horizon.0).rms();
        if rms > self.rounding() { rms } else { 0.0 }
    }

    /// Whether so many windows have never made a difference, however often there was one to see.
    pub fn is_still(&self, horizon: Horizon) -> bool {
        self.sigma(horizon) == 0.0 && self.step_scale(horizon.0).count() >= STILL
    }

    /// How far from the newest value another is that differs by its rounding.
    pub fn rounding(&self) -> f64 {
        ROUNDING * self.columns[0].value.unwrap_or_default().abs()
    }

    /// The newest step of the target in units of sigma_1, if it moves at all.
    pub fn scaled_step(&self) -> Option<f64> {
        let sigma = self.step_scale(1).rms();
        (sigma > 0.0).then(|| self.columns[0].difference / sigma)
    }

    /// The standardised newest values of the columns beside the target.
    pub fn others(&self) -> Vec<f64> {
        let z = |column: &Column| column.value.map_or(0.0, |value| column.level.z(value));
        self.columns[1..].iter().map(z).collect()
    }

    /// The scale of the target's differences over `steps` windows: a lag, a horizon of the spec, a
    /// season.
    pub fn step_scale(&self, steps: u32) -> &StepScale {
        let at = self.steps.partition_point(|&(length, _)| length < steps);
        &self.steps[at].1
    }
}

/// The mean over the newest `period` windows, absurd values tamed; none before there were as many.
fn mean_of_last(recent: &VecDeque<(i64, f64)>, period: u32, level: &Level) -> Option<f64> {
    back(recent, period - 1)?;
    let &(newest, _) = recent.back()?;
    let from = recent.partition_point(|&(n, _)| n <= newest - i64::from(period));
    let count = (recent.len() - from) as f64;
    Some(recent.range(from..).map(|&(_, value)| level.tame(value) / count).sum())
}

fn back(recent: &VecDeque<(i64, f64)>, steps: u32) -> Option<f64> {
    let &(newest, _) = recent.back()?;
    let after = recent.partition_point(|&(n, _)| n <= newest - i64::from(steps));
    Some(recent.get(after.checked_sub(1)?)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_gap_the_value_is_the_one_before_it() {
        let recent = VecDeque::from([(10, 1.0), (11, 2.0), (15, 3.0)]);
        let found: Vec<Option<f64>> = (0..7).map(|steps| back(&recent, steps)).collect();
        assert_eq!(found, [Some(3.0), Some(2.0), Some(2.0), Some(2.0), Some(2.0), Some(1.0), None]);
    }
}
