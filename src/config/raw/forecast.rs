//! The `forecast` block as it is written.
//! It must not know defaults, nor what is built.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::plan::Calendar;
use super::super::scalar::Whole;
use super::RawModel;

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawForecast {
    /// The selected column to forecast.
    #[schemars(required)]
    pub target: Option<String>,
    /// Selected columns that the network sees; the target is always one. Default: all.
    pub features: Option<Vec<String>>,
    /// How many windows ahead, each. Default: [1].
    pub horizons: Option<Vec<Whole<1, 10_000>>>,
    /// Windows in a season. Default: none.
    pub season: Option<Whole<2, 1_000_000>>,
    /// Calendar inputs of the network. Default: none.
    pub calendar: Option<Vec<Calendar>>,
    /// Levels of the intervals, each between 0 and 1. Default: [0.9].
    pub levels: Option<Vec<f64>>,
    /// Also forecast the probability of a rise. Not yet built.
    pub direction: Option<bool>,
    /// The network.
    pub model: Option<RawModel>,
    /// The experts of the mixture. Default: [naive, rnn].
    pub experts: Option<Vec<RawExpert>>,
}

#[derive(Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum RawExpert {
    Naive,
    /// Not yet built.
    SeasonalNaive,
    /// Not yet built.
    Ewma,
    /// Not yet built.
    Rls,
    Rnn,
}
