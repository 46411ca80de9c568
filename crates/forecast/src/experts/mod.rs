//! The experts: each forecasts every horizon of one series in its own way, and learns from what came.
//! It must not know how they are mixed, or of other series.
//!
//! A new one is a file beside this, and a line in the list below. It says how far the target will have moved from its last value,
//! in units of sigma_h, the scale of steps over so many windows: every expert's forecasts have the same size, and 0 is the
//! naive forecast.

mod naive;
mod rls;
mod rnn;
mod seasonal_naive;
mod smoothing;
#[cfg(test)]
mod tests;

use nalgebra::DVector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::naive::Naive;
use self::rls::Rls;
use self::rnn::Rnn;
use self::seasonal_naive::SeasonalNaive;
use self::smoothing::Smoothing;
use super::series::SeriesHistory;

/// What linear experts see of a window.
#[derive(Debug, Clone)]
pub struct ExpertInputs {
    /// Clipped features, the first of them 1.
    pub all: DVector<f64>,
    /// Those that say most of the newest steps and the season.
    pub short: DVector<f64>,
}

impl ExpertInputs {
    /// `short`: places among the features.
    pub fn new(features: &[f32], short: &[usize]) -> Self {
        ExpertInputs {
            all: DVector::from_iterator(features.len(), features.iter().map(|&feature| f64::from(feature))),
            short: DVector::from_iterator(short.len(), short.iter().map(|&at| f64::from(features[at]))),
        }
    }
}

/// What is known at the newest window of a series.
#[derive(Clone, Copy)]
pub struct Observation<'a> {
    pub series: &'a SeriesHistory,
    pub horizons: &'a [u32],
    /// Windows in a season.
    pub season: Option<u32>,
    /// Whether the target was observed in it.
    pub is_truth: bool,
    pub features: &'a ExpertInputs,
    /// What the network says for each horizon, by its weights as they are and averaged.
    pub network: [&'a [f64]; 2],
}

/// A move that came.
#[derive(Clone, Copy)]
pub struct Label<'a> {
    /// In units of sigma_h at its origin.
    pub moved: f64,
    /// At its origin.
    pub features: &'a ExpertInputs,
    /// Whether the target was observed at its origin.
    pub from_truth: bool,
}

/// One way to forecast a series.
pub trait Expert {
    /// How many numbers it wants back with the truth of each forecast.
    fn notes(&self) -> usize {
        0
    }

    /// Takes in the newest window.
    fn observe(&mut self, _: &Observation<'_>) {}

    /// The move to the horizon in place `slot`, in units of `sigma` > 0; what is not finite counts as 0.
    fn forecast(&self, seen: &Observation<'_>, slot: usize, sigma: f64, notes: &mut [f32]) -> f64;

    /// Learns from the truth of a forecast for the horizon in place `slot`.
    fn learn(&mut self, _slot: usize, _truth: &Label<'_>, _notes: &[f32]) {}
}

/// How large the experts of a pipeline are.
#[derive(Debug, Clone, Copy)]
pub struct ExpertShape {
    pub features: usize,
    /// Features in [`ExpertInputs::short`].
    pub short: usize,
    pub horizons: usize,
    /// Whether there is a season.
    pub seasonal: bool,
}

macro_rules! experts {
    ($($(#[$doc:meta])* $word:ident $type:ident $members:expr;)*) => {
        /// A word of `forecast.experts`, in the order in which they are weighed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum ExpertKind {
            $($(#[$doc])* $word,)*
        }

        impl ExpertKind {
            pub const ALL: &[ExpertKind] = &[$(ExpertKind::$word),*];

            /// The experts that it stands for, each under its name.
            fn members(self, shape: &ExpertShape) -> Vec<(&'static str, AnyExpert)> {
                match self {
                    $(ExpertKind::$word => {
                        let members: Vec<(&'static str, $type)> = $members(shape);
                        members.into_iter().map(|(name, expert)| (name, AnyExpert::$word(expert))).collect()
                    })*
                }
            }
        }

        /// Any of them.
        #[derive(Debug, Clone, Serialize, Deserialize)]
        pub enum AnyExpert {
            $($word($type),)*
        }

        impl AnyExpert {
            pub fn get(&self) -> &dyn Expert {
                match self { $(AnyExpert::$word(expert) => expert,)* }
            }

            pub fn get_mut(&mut self) -> &mut dyn Expert {
                match self { $(AnyExpert::$word(expert) => expert,)* }
            }
        }
    };
}

experts! {
    /// The last value.
    Naive Naive naive::members;
    /// The value a season before the target.
    SeasonalNaive SeasonalNaive seasonal_naive::members;
    /// The best of some exponential smoothings, damped trends and a median.
    Ewma Smoothing smoothing::members;
    /// Recursive least squares of the network's inputs, at several speeds of forgetting.
    Rls Rls rls::members;
    /// The network, by its weights as they are and averaged.
    Rnn Rnn rnn::members;
}

/// The experts of these words as they begin, each under its name.
pub fn roster(words: &[ExpertKind], shape: &ExpertShape) -> Vec<(&'static str, AnyExpert)> {
    let mut words = words.to_vec();
    words.sort_unstable();
    words.iter().flat_map(|word| word.members(shape)).collect()
}
