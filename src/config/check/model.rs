//! Checks the `forecast.model` block: which settings belong together, and that every label finds a
//! window to be learned in.
//! It must not know how a network learns.

use tickcast_forecast::{BPTT_MARGIN, Horizon, LearnerSpec};
use tickcast_model::{Activation, BETAS, CellKind, HUBER_DELTA, Loss, LrSchedule, Optimizer, OptimizerRule};

use super::Checker;
use crate::config::raw::{RawLoss, RawModel, RawOptimizer, RawSchedule};

const BPTT_MAX: u32 = 4096;
const OPTIMIZER: &str = "forecast.model.optimizer";

// Defaults of what stands in a block that is not there by default; all others are the spec's.
const SGD_LR: f64 = 1e-3;
const MOMENTUM: f64 = 0.9;
const WEIGHT_DECAY: f64 = 0.01;
const ALPHA: f64 = 0.99;
const COSINE_FLOOR: f64 = 0.1;

impl Checker<'_> {
    /// `horizon_max` is the longest horizon, `levels` those of the intervals.
    pub fn model(&mut self, raw: RawModel, horizon_max: Horizon, levels: &[f64]) -> LearnerSpec {
        let default = LearnerSpec::default();
        let cell = raw.cell.unwrap_or(default.cell);
        let stride = raw.stride.map_or(default.stride, |stride| stride.0 as usize);

        LearnerSpec {
            cell,
            hidden: raw.hidden.map_or(default.hidden, |hidden| hidden.0 as usize),
            layers: raw.layers.map_or(default.layers, |layers| layers.0 as usize),
            activation: self.activation(raw.activation.unwrap_or(default.activation), cell),
            skip: raw.skip.unwrap_or(default.skip),
            bptt: self.bptt(raw.bptt.map(|bptt| bptt.0 as u32), stride as u32, horizon_max) as usize,
            stride,
            replay: raw.replay.map_or(default.replay, |replay| replay.0 as usize),
            loss: raw.loss.map_or(default.loss, |loss| loss_of(loss, levels)),
            optimizer: raw.optimizer.map_or(default.optimizer, |optimizer| self.optimizer(optimizer)),
            clip: raw.clip.map_or(default.clip, |clip| self.clip(clip)),
            ema: raw.ema.map_or(default.ema, |ema| self.below_one("forecast.model.ema", ema) as f32),
            scope: raw.scope.unwrap_or(default.scope),
            seed: raw.seed.map_or(default.seed, |seed| seed.0 as u64),
            backend: raw.backend.unwrap_or(default.backend),
        }
    }

    fn activation(&mut self, activation: Activation, cell: CellKind) -> Activation {
        if cell != CellKind::Rnn && activation != Activation::Tanh {
            let message = "only the rnn cell has a choice, lstm and gru have theirs by definition";
            self.fault_with_help("forecast.model.activation", message, "drop it, or write cell: rnn");
        }
        activation
    }

    fn clip(&mut self, clip: f64) -> f32 {
        if !(clip > 0.0 && clip.is_finite()) {
            let message = format!("{clip} is not above 0");
            self.fault_with_help("forecast.model.clip", message, "write it like 1.0");
        }
        clip as f32
    }

    fn bptt(&mut self, raw: Option<u32>, stride: u32, horizon_max: Horizon) -> u32 {
        let with_past = horizon_max.0 + BPTT_MARGIN as u32;
        let with_wait = horizon_max.0 + stride;
        let default = LearnerSpec::default_bptt(horizon_max.steps(), stride as usize) as u32;
        let bptt = raw.unwrap_or(default);

        if bptt < with_past {
            let message =
                format!("{bptt} is too small, at least the longest horizon + {BPTT_MARGIN} = {with_past}");
            self.fault("forecast.model.bptt", message);
        } else if bptt < with_wait {
            let message = format!(
                "labels would leave the {bptt} steps of model.bptt before they are learned, at most {bptt} - the longest horizon = {}",
                bptt - horizon_max.0
            );
            self.fault("forecast.model.stride", message);
        } else if bptt > BPTT_MAX {
            let path = if with_past > BPTT_MAX { "forecast.horizons" } else { "forecast.model.stride" };
            let waits = if stride > 1 { format!(" with a stride of {stride}") } else { String::new() };
            let message = format!(
                "a horizon of {horizon_max}{waits} needs more than the {BPTT_MAX} steps of model.bptt"
            );
            self.fault(path, message);
        }
        bptt
    }

    fn optimizer(&mut self, raw: RawOptimizer) -> Optimizer {
        self.one_optimizer(&raw);
        let at = |key: &str| format!("{OPTIMIZER}.{key}");

        if let Some(sgd) = raw.sgd {
            let momentum = sgd.momentum.unwrap_or(MOMENTUM);
            let rule = OptimizerRule::Sgd { momentum: self.below_one(&at("sgd.momentum"), momentum) };
            return self.at_rate(&at("sgd"), rule, sgd.lr.unwrap_or(SGD_LR), sgd.schedule);
        }
        if let Some(adamw) = raw.adamw {
            let weight_decay = adamw.weight_decay.unwrap_or(WEIGHT_DECAY);
            let weight_decay = self.below_one(&at("adamw.weight_decay"), weight_decay);
            let rule = OptimizerRule::AdamW { betas: BETAS, weight_decay };
            return self.at_rate(&at("adamw"), rule, adamw.lr.unwrap_or(LearnerSpec::LR), adamw.schedule);
        }
        if let Some(rmsprop) = raw.rmsprop {
            let alpha = rmsprop.alpha.unwrap_or(ALPHA);
            let rule = OptimizerRule::RmsProp { alpha: self.below_one(&at("rmsprop.alpha"), alpha) };
            return self.at_rate(
                &at("rmsprop"),
                rule,
                rmsprop.lr.unwrap_or(LearnerSpec::LR),
                rmsprop.schedule,
            );
        }
        let adam = raw.adam.unwrap_or_default();
        let rule = OptimizerRule::Adam { betas: BETAS };
        self.at_rate(&at("adam"), rule, adam.lr.unwrap_or(LearnerSpec::LR), adam.schedule)
    }

    fn one_optimizer(&mut self, raw: &RawOptimizer) {
        let keys = [
            ("sgd", raw.sgd.is_some()),
            ("adam", raw.adam.is_some()),
            ("adamw", raw.adamw.is_some()),
            ("rmsprop", raw.rmsprop.is_some()),
        ];
        self.exactly_one_key(OPTIMIZER, &keys);
    }

    fn at_rate(
        &mut self,
        path: &str,
        rule: OptimizerRule,
        lr: f64,
        schedule: Option<RawSchedule>,
    ) -> Optimizer {
        if !(lr > 0.0 && lr <= 1.0) {
            let message = format!("{lr} is not a learning rate between 0 and 1");
            self.fault_with_help(&format!("{path}.lr"), message, "write it like 3e-4");
        }
        Optimizer { rule, lr, schedule: self.schedule(&format!("{path}.schedule"), schedule) }
    }

    fn schedule(&mut self, path: &str, raw: Option<RawSchedule>) -> LrSchedule {
        let Some(RawSchedule::Block(raw)) = raw else { return LrSchedule::Constant };
        self.exactly_one_key(path, &[("warm_up", raw.warm_up.is_some()), ("cosine", raw.cosine.is_some())]);
        if let Some(warm_up) = raw.warm_up {
            return LrSchedule::WarmUp { updates: warm_up.0 as u64 };
        }

        let Some(cosine) = raw.cosine else { return LrSchedule::Constant };
        let path = format!("{path}.cosine");
        let updates_path = format!("{path}.updates");
        let warm_up = cosine.warm_up.map_or(0, |warm_up| warm_up.0 as u64);

        let is_given = cosine.updates.is_some();
        let help = "after how many updates the rate is at its floor";
        let updates = self.required(cosine.updates.map(|updates| updates.0 as u64), &updates_path, help);
        if is_given && updates <= warm_up {
            let message = format!("{updates} leaves nothing after the warm_up of {warm_up} updates");
            self.fault(&updates_path, message);
        }

        let floor = cosine.floor.unwrap_or(COSINE_FLOOR);
        if !(0.0..=1.0).contains(&floor) {
            let message = format!("{floor} is not from 0 to 1");
            self.fault_with_help(&format!("{path}.floor"), message, "write it like 0.1");
        }
        LrSchedule::Cosine { warm_up, updates, floor }
    }

    /// As `exactly_one`, of a block that can have no other keys: one that could not be read was
    /// meant as one of these.
    fn exactly_one_key(&mut self, parent: &str, keys: &[(&str, bool)]) {
        let is_given = keys.iter().any(|(_, given)| *given);
        if is_given || !self.has_broken_below(&format!("{parent}.")) {
            self.exactly_one(parent, keys);
        }
    }

    /// Says so unless `value` is in [0, 1); an f32 of it must be too.
    fn below_one(&mut self, path: &str, value: f64) -> f64 {
        if !(value >= 0.0 && (value as f32) < 1.0) {
            let message = format!("{value} is not from 0 to below 1");
            self.fault_with_help(path, message, "write it like 0.9");
        }
        value
    }
}

fn loss_of(loss: RawLoss, levels: &[f64]) -> Loss {
    match loss {
        RawLoss::Mse => Loss::Mse,
        RawLoss::Huber => Loss::Huber { delta: HUBER_DELTA },
        RawLoss::Pinball => Loss::Pinball { levels: quantiles(levels) },
        RawLoss::GaussianNll => Loss::GaussianNll,
    }
}

/// The median and the bounds of the intervals of these levels, ascending: 0.9 -> 0.05, 0.5, 0.95.
fn quantiles(levels: &[f64]) -> Vec<f64> {
    let bounds = levels.iter().flat_map(|level| [(1.0 - level) / 2.0, (1.0 + level) / 2.0]);
    let mut quantiles: Vec<f64> = bounds.chain([0.5]).collect();
    quantiles.sort_by(f64::total_cmp);
    quantiles.dedup();
    quantiles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantiles_are_the_bounds_of_the_levels_around_the_median() {
        assert_eq!(quantiles(&[0.5, 0.75]), [0.125, 0.25, 0.5, 0.75, 0.875]);
        assert_eq!(quantiles(&[]), [0.5]);
    }
}
