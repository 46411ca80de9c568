//! What the forecasters of all series have in common: experts as they begin, horizons, levels, and
//! where the numbers of a forecast lie.
//! It must not know any series.

use super::bounds::{Bounds, Limits};
use super::experts::custom::CustomExpert;
use super::experts::expert::ExpertShape;
use super::experts::kind::ExpertKind;
use super::experts::{AnyExpert, roster};
use super::features::Features;
use super::pending::QueueShape;
use super::phases::phases_of;
use super::series::SeriesHistory;
use super::spread::factors_of;
use crate::horizon::Horizon;
use crate::spec::{Correction, ForecastSpec, MixtureRule};

/// What the series forecasters of a pipeline have in common.
#[derive(Debug)]
pub struct ForecasterLayout {
    /// Of the experts, in the order in which they are weighed.
    pub names: Vec<&'static str>,
    /// As they begin.
    pub experts: Vec<AnyExpert>,
    /// Numbers that all experts together keep beside a forecast.
    pub memo_len: usize,
    /// How many of those are of custom experts, who get back what they kept to the last bit.
    pub whole: usize,
    /// How they are mixed.
    pub rule: MixtureRule,
    /// How their intervals are corrected.
    pub correction: Correction,
    /// Between what forecasts and intervals lie.
    pub bounds: Bounds,
    /// Ascending, in windows.
    pub horizons: Vec<Horizon>,
    /// In windows.
    pub season: Option<u32>,
    /// Of the intervals, ascending.
    pub levels: Vec<f64>,
    /// Columns beside the target.
    pub others: usize,
    /// Of an expert's features: the constant, the network's inputs, the phase's means.
    pub width: usize,
    /// Which of the features linear experts with a short memory see.
    pub short: Vec<usize>,
    /// Whether the network gives intervals of its own.
    pub has_heads: bool,
}

/// The numbers that the learners of a forecast want back, one part after the other.
pub struct Details<T> {
    /// The experts' memos, that of the last one first: custom experts are the last.
    pub memo: T,
    /// Their moves.
    pub moves: T,
    /// The network's own intervals: lower, upper, lower, upper, ...
    pub heads: T,
    /// Where the spread came from.
    pub factors: T,
}

impl ForecasterLayout {
    /// The layout of a spec, with experts beside those that the spec names.
    pub fn new(spec: &ForecastSpec, custom: Vec<CustomExpert>) -> Self {
        let features = Features::new(spec);
        let phases = phases_of(spec.season);
        let horizons = spec.horizons.len();
        let width = 1 + features.width() + if phases > 0 { horizons } else { 0 };
        let short: Vec<usize> = [0].into_iter().chain(features.short().map(|at| at + 1)).collect();

        let seasonal = spec.season.is_some();
        let shape = ExpertShape { features: width, short: short.len(), horizons, seasonal };
        let (names, experts): (Vec<_>, Vec<_>) = roster(&spec.experts, custom, &shape).into_iter().unzip();

        ForecasterLayout {
            names,
            memo_len: memo_len(&mut experts.iter()),
            whole: memo_len(&mut experts.iter().filter(|expert| matches!(expert, AnyExpert::Custom(_)))),
            experts,
            rule: spec.mixture,
            correction: spec.correction,
            bounds: spec.bounds,
            horizons: spec.horizons.clone(),
            season: spec.season,
            levels: spec.levels.clone(),
            others: spec.features.len() - 1,
            width,
            short,
            has_heads: has_heads(spec),
        }
    }

    /// Between what forecasts of this series and their intervals lie.
    pub fn limits(&self, series: &SeriesHistory) -> Limits {
        self.bounds.limits(&series.lowest)
    }

    /// The phase of the window numbered `n`, where the season has a table.
    pub fn phase(&self, n: i64) -> Option<usize> {
        let phases = phases_of(self.season);
        (phases > 0).then(|| n.rem_euclid(phases as i64) as usize)
    }

    /// How many numbers the learners of a forecast want back.
    pub fn details_len(&self) -> usize {
        let factors = factors_of(self.others, phases_of(self.season));
        self.names.len() + self.memo_len + self.heads_len() + factors
    }

    /// What the forecasts of a horizon have in common while they wait.
    pub fn queue(&self, horizon: Horizon) -> QueueShape {
        QueueShape {
            most: horizon.steps(),
            levels: self.levels.len(),
            details: self.details_len(),
            whole: self.whole,
        }
    }

    /// The parts of a forecast's numbers.
    pub fn details<'a>(&self, numbers: &'a [f32]) -> Details<&'a [f32]> {
        let (memo, rest) = numbers.split_at(self.memo_len);
        let (moves, rest) = rest.split_at(self.names.len());
        let (heads, factors) = rest.split_at(self.heads_len());
        Details { memo, moves, heads, factors }
    }

    /// The parts of a forecast's numbers, to be written.
    pub fn details_mut<'a>(&self, numbers: &'a mut [f32]) -> Details<&'a mut [f32]> {
        let (memo, rest) = numbers.split_at_mut(self.memo_len);
        let (moves, rest) = rest.split_at_mut(self.names.len());
        let (heads, factors) = rest.split_at_mut(self.heads_len());
        Details { memo, moves, heads, factors }
    }

    /// Numbers of the network's own intervals.
    fn heads_len(&self) -> usize {
        if self.has_heads { 2 * self.levels.len() } else { 0 }
    }
}

/// Numbers that these experts together keep beside a forecast.
fn memo_len(experts: &mut dyn Iterator<Item = &AnyExpert>) -> usize {
    experts.map(|expert| expert.get().memo_len()).sum()
}

/// Whether a spec's network has an interval for each of its levels.
fn has_heads(spec: &ForecastSpec) -> bool {
    let loss = &spec.model.loss;
    let outputs = vec![0.0; loss.width()];
    let has = |level: &f64| loss.bounds(&outputs, *level).is_some();
    spec.experts.contains(&ExpertKind::Rnn) && spec.levels.iter().all(has)
}
