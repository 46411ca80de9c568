//! The `forecast.model` block as it is written: the network, its loss, its optimizer.
//! It must not know defaults, nor what belongs together.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};

use super::super::fault::quoted;
use super::super::scalar::Whole;
use tickcast_forecast::Scope;
use tickcast_model::{Activation, Backend, CellKind};

/// More updates than a pipeline makes in years.
const UPDATES_MAX: i64 = 1_000_000_000;

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawModel {
    /// Kind of recurrent cell. Default: gru.
    pub cell: Option<CellKind>,
    /// Hidden units a layer. Default: 32.
    pub hidden: Option<Whole<1, 1024>>,
    /// Layers. Default: 1.
    pub layers: Option<Whole<1, 8>>,
    /// Activation of the rnn cell; gru and lstm have theirs by definition. Default: tanh.
    pub activation: Option<Activation>,
    /// Whether a linear path leads from the inputs past the cell to the outputs. Default: true.
    pub skip: Option<bool>,
    /// Steps of truncated backpropagation, at least the longest horizon + 8 and + stride. Default:
    /// that, or 32 if more.
    pub bptt: Option<Whole<1, 4096>>,
    /// Closed windows between updates: 1 learns at every close. Default: 1.
    pub stride: Option<Whole<1, 4096>>,
    /// Random past windows learned again at each update. Default: 2.
    pub replay: Option<Whole<0, 64>>,
    /// Loss. pinball learns the quantiles of forecast.levels and forecasts the median; gaussian_nll
    /// learns mean and variance and forecasts the mean. Default: huber.
    pub loss: Option<RawLoss>,
    /// Optimizer. Default: adam.
    pub optimizer: Option<RawOptimizer>,
    /// Longest gradient that is applied as it is, in its global norm. Default: 1.0.
    pub clip: Option<f64>,
    /// Decay of the averaged weights, which forecast beside the newest ones, from 0 (no average) to
    /// below 1. Default: 0.995.
    pub ema: Option<f64>,
    /// Whether the series of a partition share one network or have one each. Default: shared.
    pub scope: Option<Scope>,
    /// Seed of the random numbers. Default: 1.
    pub seed: Option<Whole<0, { i64::MAX }>>,
    /// What computes the network. fused is the fast one; nalgebra is the plain reference that it is
    /// held to, for audits and for CPUs without fused multiply-adds. Default: fused.
    pub backend: Option<Backend>,
}

#[derive(Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum RawLoss {
    Mse,
    Huber,
    Pinball,
    GaussianNll,
}

/// Exactly one of `sgd`, `adam`, `adamw` and `rmsprop`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawOptimizer {
    /// Stochastic gradient descent with momentum.
    pub sgd: Option<RawSgd>,
    /// Adam.
    pub adam: Option<RawAdam>,
    /// Adam with decoupled weight decay.
    pub adamw: Option<RawAdamW>,
    /// RMSprop.
    pub rmsprop: Option<RawRmsProp>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawSgd {
    /// Learning rate. Default: 1e-3.
    pub lr: Option<f64>,
    /// Momentum, from 0 to below 1. Default: 0.9.
    pub momentum: Option<f64>,
    /// Course of the learning rate. Default: constant.
    pub schedule: Option<RawSchedule>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawAdam {
    /// Learning rate. Default: 1e-3.
    pub lr: Option<f64>,
    /// Course of the learning rate. Default: constant.
    pub schedule: Option<RawSchedule>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawAdamW {
    /// Learning rate. Default: 1e-3.
    pub lr: Option<f64>,
    /// Share of each weight that a learning rate of 1 would take away, from 0 to below 1. Default:
    /// 0.01.
    pub weight_decay: Option<f64>,
    /// Course of the learning rate. Default: constant.
    pub schedule: Option<RawSchedule>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawRmsProp {
    /// Learning rate. Default: 1e-3.
    pub lr: Option<f64>,
    /// Decay of the mean squared gradient, from 0 to below 1. Default: 0.99.
    pub alpha: Option<f64>,
    /// Course of the learning rate. Default: constant.
    pub schedule: Option<RawSchedule>,
}

/// `constant`, or one of `warm_up` and `cosine`.
pub(in super::super) enum RawSchedule {
    Constant,
    Block(RawScheduleBlock),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawScheduleBlock {
    /// Updates in which the rate rises evenly to lr, where it stays.
    pub warm_up: Option<Whole<1, UPDATES_MAX>>,
    /// A rise, then half a cosine down.
    pub cosine: Option<RawCosine>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawCosine {
    /// Updates in which the rate rises evenly to lr. Default: 0.
    pub warm_up: Option<Whole<0, UPDATES_MAX>>,
    /// Updates, those of the rise among them, after which the rate stays at its floor.
    #[schemars(required)]
    pub updates: Option<Whole<1, UPDATES_MAX>>,
    /// What is left of lr in the end, from 0 to 1. Default: 0.1.
    pub floor: Option<f64>,
}

// Not serde's `untagged`: that would lose the place and the words of a fault inside.
impl<'de> Deserialize<'de> for RawSchedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScheduleVisitor)
    }
}

struct ScheduleVisitor;

impl<'de> Visitor<'de> for ScheduleVisitor {
    type Value = RawSchedule;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("constant, { warm_up: … } or { cosine: … }")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<RawSchedule, E> {
        match word {
            "constant" => Ok(RawSchedule::Constant),
            _ => Err(E::custom(format!(
                "unknown schedule {}\nconstant, {{ warm_up: … }} or {{ cosine: … }}",
                quoted(word)
            ))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawSchedule, A::Error> {
        RawScheduleBlock::deserialize(MapAccessDeserializer::new(map)).map(RawSchedule::Block)
    }
}

impl JsonSchema for RawSchedule {
    fn schema_name() -> Cow<'static, str> {
        "RawSchedule".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let block = generator.subschema_for::<RawScheduleBlock>();
        schemars::json_schema!({ "anyOf": [{ "const": "constant" }, block] })
    }
}
