//! The `forecast` block as it is written.
//! It must not know defaults, nor what is built.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::plan::{Activation, Calendar, Cell, Scope};
use super::super::scalar::Whole;

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

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawModel {
    /// Kind of recurrent cell. Default: gru.
    pub cell: Option<Cell>,
    /// Hidden units a layer. Default: 32.
    pub hidden: Option<Whole<1, 1024>>,
    /// Layers. Default: 1.
    pub layers: Option<Whole<1, 8>>,
    /// Activation of the rnn cell. Default: tanh.
    pub activation: Option<Activation>,
    /// Steps of truncated backpropagation, at least the longest horizon + 8. Default: that, or 32 if more.
    pub bptt: Option<Whole<1, 4096>>,
    /// Random past windows learned again at each close. Default: 2.
    pub replay: Option<Whole<0, 64>>,
    /// Loss. Default: huber.
    pub loss: Option<RawLoss>,
    /// Optimizer. Default: adam.
    pub optimizer: Option<RawOptimizer>,
    /// Whether the series of a partition share one network or have one each. Default: shared.
    pub scope: Option<Scope>,
    /// Seed of the random numbers. Default: 1.
    pub seed: Option<Whole<0, { i64::MAX }>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawOptimizer {
    /// Adam.
    pub adam: Option<RawAdam>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawAdam {
    /// Learning rate. Default: 3e-4.
    pub lr: Option<f64>,
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

#[derive(Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum RawLoss {
    Mse,
    Huber,
}
