//! The words that name experts in a spec.
//! It must not know how an expert forecasts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A word of `forecast.experts`, in the order in which they are weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExpertKind {
    /// The last value.
    Naive,
    /// The value a season before the target.
    SeasonalNaive,
    /// The best of some exponential smoothings, damped trends and a median.
    Ewma,
    /// Recursive least squares of the network's inputs, at several speeds of forgetting.
    Rls,
    /// The network, by its weights as they are and averaged.
    Rnn,
}

impl ExpertKind {
    /// Every word.
    pub const ALL: &[ExpertKind] =
        &[ExpertKind::Naive, ExpertKind::SeasonalNaive, ExpertKind::Ewma, ExpertKind::Rls, ExpertKind::Rnn];
}
