//! The `forecast` block as it is written.
//! It must not know defaults, nor what is built.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::scalar::Whole;
use super::{OneOrMore, OrNone, RawModel};
use tickcast_forecast::{Calendar, Correction, ExpertKind, MixtureRule};

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawForecast {
    /// The selected column to forecast, or a list of several. Each is forecast as if it were the
    /// only one, under the same keys of this block, and has records of its own.
    #[schemars(required)]
    pub target: Option<OneOrMore>,
    /// Selected columns that the network and rls see; the target is always one. Default: all.
    pub features: Option<Vec<String>>,
    /// How many windows ahead, each. Default: [1].
    pub horizons: Option<Vec<Whole<1, 10_000>>>,
    /// Windows in a season, where days or years are alike: 24 with windows of an hour, 48 of half
    /// an hour, 12 of a month (30d); or none. Default: a day for windows of 5m to less than a day,
    /// with the week as a second season; a week for windows of a day; a year for windows of a
    /// month.
    pub season: Option<OrNone<Whole<2, 1_000_000>>>,
    /// Calendar inputs of the network and rls, in UTC. With `day_of_week` and windows of 5 minutes
    /// to less than a day, the week is a second season. Default: none.
    pub calendar: Option<Vec<Calendar>>,
    /// Where the target always is: forecasts and intervals keep to it. Without `min`, a series
    /// keeps to 0 that has been at 0, or above it for 100 windows, and never below; the word none
    /// leaves that out, too. Default: 0 as the min of such series.
    pub bounds: Option<OrNone<RawBounds>>,
    /// Levels of the intervals, each between 0 and 1. A level names its fields in the records: 0.9
    /// makes lower_90, upper_90 and covered_90; 0.995 makes lower_99_5. Default: [0.9].
    pub levels: Option<Vec<f64>>,
    /// Whether the network also gives the probability that the target rises above its last value.
    /// Default: false.
    pub direction: Option<bool>,
    /// The network.
    pub model: Option<RawModel>,
    /// The experts that the forecast is mixed from. A word may stand for several experts in the
    /// records: rnn for rnn and rnn_raw. At the start the first in the order naive, seasonal_naive,
    /// ewma, rls, rnn has most of the weight. Default: all.
    pub experts: Option<Vec<ExpertKind>>,
    /// How experts are mixed. Default: boa.
    pub mixture: Option<MixtureRule>,
    /// How intervals are corrected online, so that they hold as often as they claim. Default:
    /// p_tracker.
    pub correction: Option<Correction>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawBounds {
    /// The target is never below. Default: 0 for a series that keeps to it.
    pub min: Option<f64>,
    /// The target is never above.
    pub max: Option<f64>,
}
