//! What a forecaster is asked for, checked and defaulted: its target, horizons, seasons, experts
//! and network.
//! It must not know the pipeline file that it comes from.

use crate::horizon::Horizon;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tickcast_model::{
    Activation, BETAS, Backend, CellKind, HUBER_DELTA, Loss, LrSchedule, Optimizer, OptimizerRule,
};

use crate::bounds::Bounds;
use crate::experts::kind::ExpertKind;

/// What a forecaster is asked for. The names and the order of the fields are part of a pipeline's
/// fingerprint.
#[derive(Debug, Clone, Serialize)]
pub struct ForecastSpec {
    /// One of the selected columns.
    pub target: String,
    /// Selected columns that the experts see, the target among them first.
    pub features: Vec<String>,
    /// Ascending, distinct, each >= 1, in windows.
    pub horizons: Vec<Horizon>,
    /// Windows in a season.
    pub season: Option<u32>,
    /// Windows in a week, where it is a season beside `season`: see [`week_of`].
    pub week: Option<u32>,
    /// Which times the network sees.
    pub calendar: Vec<Calendar>,
    /// Interval levels, ascending, each in (0, 1).
    pub levels: Vec<f64>,
    /// The network.
    pub model: LearnerSpec,
    /// Who forecasts.
    pub experts: Vec<ExpertKind>,
    /// How they are mixed.
    pub mixture: MixtureRule,
    /// How intervals are corrected.
    pub correction: Correction,
    /// Between what forecasts and intervals lie.
    pub bounds: Bounds,
    /// Whether the network also gives the probability of a rise.
    pub direction: bool,
    /// Series that are kept, at least 1. Those that have been silent for longest are forgotten, but
    /// none that the window at hand has a row of.
    #[serde(skip)]
    pub most_series: usize,
}

const DAY_US: i64 = 86_400_000_000;
const WEEK_US: i64 = 7 * DAY_US;
/// The shortest windows that days are usual in: with shorter ones a series could not remember a
/// week.
const SHORTEST_US: i64 = 300_000_000;
/// The longest week, in windows: of five minutes.
const LONGEST_WEEK: u32 = 2016;

impl ForecastSpec {
    /// Series that are kept, where nobody says how many.
    pub const MOST_SERIES: usize = 1_000_000;

    /// The defaults for a target: one window ahead, a 90 % interval, every expert, no season.
    pub fn new(target: impl Into<String>) -> Self {
        let target = target.into();
        ForecastSpec {
            features: vec![target.clone()],
            target,
            horizons: vec![Horizon(1)],
            season: None,
            week: None,
            calendar: Vec::new(),
            levels: vec![0.9],
            model: LearnerSpec::default(),
            experts: ExpertKind::ALL.to_vec(),
            mixture: MixtureRule::Boa,
            correction: Correction::PTracker,
            bounds: Bounds::default(),
            direction: false,
            most_series: ForecastSpec::MOST_SERIES,
        }
    }
}

/// Windows in a week, where the calendar has the day of the week and windows are shorter than a
/// day: weekdays and weekends then have days of their own. None for so many that a series could not
/// remember them.
pub fn week_of(calendar: &[Calendar], size_us: i64) -> Option<u32> {
    let windows = u32::try_from(WEEK_US / size_us.max(1)).ok()?;
    let is_whole = size_us < DAY_US && WEEK_US % size_us.max(1) == 0;
    (calendar.contains(&Calendar::DayOfWeek) && is_whole && windows <= LONGEST_WEEK).then_some(windows)
}

/// The season of windows of this length, and the week beside it, both in windows, for a pipeline
/// that does not say: a day and the week for windows of 5 minutes to less than a day that divide
/// it, a week for windows of a day, a year for windows of a month. People live by them; where
/// nothing does, they cost a percent or two.
pub fn usual_seasons(size_us: i64) -> (Option<u32>, Option<u32>) {
    let size_us = size_us.max(1);
    let windows = |of_us: i64| u32::try_from(of_us / size_us).ok();
    if (SHORTEST_US..DAY_US).contains(&size_us) && DAY_US % size_us == 0 {
        return (windows(DAY_US), windows(WEEK_US));
    }
    if size_us == DAY_US {
        return (Some(7), None);
    }
    ((28 * DAY_US..=31 * DAY_US).contains(&size_us).then_some(12), None)
}

/// The column suffix of a level, exact to its last digit: 0.9 -> `90`, 0.995 -> `99_5`, 0.05 ->
/// `5`.
pub fn level_label(level: f64) -> String {
    let text = level.to_string();
    let digits = text.strip_prefix("0.").unwrap_or(&text);
    let (percent, rest) = digits.split_at(digits.len().min(2));
    let percent = format!("{percent:0<2}");
    let percent = if let Some(one) = percent.strip_prefix('0') { one } else { &percent };
    if rest.is_empty() { percent.to_string() } else { format!("{percent}_{rest}") }
}

/// A time that the network sees as waves, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all(deserialize = "snake_case"))]
pub enum Calendar {
    /// The time of day.
    Hour,
    /// The time of the week.
    DayOfWeek,
    /// The time of the year.
    DayOfYear,
}

/// How intervals are corrected online.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// Wider by a step after a miss, narrower after a hit.
    PTracker,
    /// Other quantiles, as adaptive conformal inference with several steps side by side asks for.
    Dtaci,
}

/// How experts are mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MixtureRule {
    /// Bernstein online aggregation.
    Boa,
    /// Polynomially weighted averages with a learning rate each.
    MlPoly,
}

/// The network, and how it learns. The names and the order of the fields are part of a pipeline's
/// fingerprint.
#[derive(Debug, Clone, Serialize)]
pub struct LearnerSpec {
    /// Of every layer.
    pub cell: CellKind,
    /// Units of a layer.
    pub hidden: usize,
    /// Layers of cells, one on the other.
    pub layers: usize,
    /// Of the simple RNN; LSTM and GRU have theirs by definition.
    pub activation: Activation,
    /// Whether a linear path leads from the inputs past the cell to the outputs.
    pub skip: bool,
    /// Steps of truncated backpropagation, >= the longest horizon + 8 and >= the longest horizon +
    /// the stride.
    pub bptt: usize,
    /// Closed windows from one update to the next, >= 1.
    pub stride: usize,
    /// Random past windows learned again at each update, per live series.
    pub replay: usize,
    /// What is made small.
    pub loss: Loss,
    /// How steps are made of gradients.
    pub optimizer: Optimizer,
    /// Longest gradient that is applied as it is, in its global norm, > 0.
    pub clip: f32,
    /// Decay of the averaged weights, in [0, 1).
    pub ema: f32,
    /// Whose windows train one network.
    pub scope: Scope,
    /// Of the first weights, and of replay.
    pub seed: u64,
    /// What computes it. States of before there was a choice are of the default.
    #[serde(skip_serializing_if = "Backend::is_default")]
    pub backend: Backend,
}

/// Steps of truncated backpropagation beyond the longest horizon, so that a label that arrives now
/// has a past.
pub const BPTT_MARGIN: usize = 8;

impl LearnerSpec {
    /// Adam's learning rate.
    pub const LR: f64 = 1e-3;

    /// Steps of truncated backpropagation that this horizon and stride ask for at least, and never
    /// less than 32.
    pub fn default_bptt(longest_horizon: usize, stride: usize) -> usize {
        let with_past = longest_horizon + BPTT_MARGIN;
        // A label waits up to stride - 1 windows for its update: its origin must still be in the
        // window then.
        let with_wait = longest_horizon + stride;
        with_past.max(with_wait).max(32)
    }
}

impl Default for LearnerSpec {
    fn default() -> Self {
        let optimizer = Optimizer {
            rule: OptimizerRule::Adam { betas: BETAS },
            lr: LearnerSpec::LR,
            schedule: LrSchedule::Constant,
        };

        LearnerSpec {
            cell: CellKind::Gru,
            hidden: 32,
            layers: 1,
            activation: Activation::Tanh,
            skip: true,
            bptt: 32,
            stride: 1,
            replay: 2,
            loss: Loss::Huber { delta: HUBER_DELTA },
            optimizer,
            clip: 1.0,
            ema: 0.995,
            scope: Scope::Shared,
            seed: 1,
            backend: Backend::Fused,
        }
    }
}

/// Whose windows train one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all(deserialize = "snake_case"))]
pub enum Scope {
    /// All series of a partition.
    Shared,
    /// Each series its own.
    Series,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_labelled_in_percent() {
        let cases = [
            (0.5, "50"),
            (0.9, "90"),
            (0.995, "99_5"),
            (0.05, "5"),
            (0.29, "29"),
            (0.001, "0_1"),
            (0.9999, "99_99"),
        ];
        for (level, label) in cases {
            assert_eq!(level_label(level), label);
        }
    }

    #[test]
    fn the_week_is_a_season_where_its_days_are_asked_for_and_windows_divide_it() {
        let days = [Calendar::Hour, Calendar::DayOfWeek];
        let minutes = |minutes: i64| week_of(&days, minutes * 60_000_000);
        assert_eq!([60, 30, 5].map(minutes), [Some(168), Some(336), Some(2016)]);
        // A day or longer, no part of a week, too many to remember.
        assert_eq!([24 * 60, 48 * 60, 11, 1].map(minutes), [None; 4]);
        assert_eq!(week_of(&[Calendar::Hour], 3_600_000_000), None);
    }
    #[test]
    fn days_weeks_and_years_are_usual_in_windows_that_have_them() {
        let minutes = |minutes: i64| usual_seasons(minutes * 60_000_000);
        let some = |season, week| (Some(season), Some(week));
        assert_eq!([60, 5, 720].map(minutes), [some(24, 168), some(288, 2016), some(2, 14)]);
        // Too many to remember, no part of a day.
        assert_eq!([1, 7, 0].map(minutes), [(None, None); 3]);

        let days = |days: i64| usual_seasons(days * DAY_US);
        assert_eq!([1, 30, 31].map(days), [(Some(7), None), (Some(12), None), (Some(12), None)]);
        assert_eq!([2, 7, 90].map(days), [(None, None); 3]);
    }
}
