//! Holds the optimisers and schedules to PyTorch's, step by step.
//! It must not know networks: the gradients are drawn.

use super::*;
use crate::golden::{Draws, Golden, assert_close};

const WEIGHTS: usize = 6;
const UPDATES: u64 = 70;
const LR: f64 = 0.02;

/// By the name in the golden file, with the parameters in its script.
const RULES: [(&str, OptimizerRule); 5] = [
    ("sgd", OptimizerRule::Sgd { momentum: 0.0 }),
    ("momentum", OptimizerRule::Sgd { momentum: 0.9 }),
    ("adam", OptimizerRule::Adam { betas: BETAS }),
    ("adamw", OptimizerRule::AdamW { betas: BETAS, weight_decay: 0.1 }),
    ("rmsprop", OptimizerRule::RmsProp { alpha: 0.95 }),
];

const SCHEDULES: [(&str, LrSchedule); 3] = [
    ("constant", LrSchedule::Constant),
    ("warm_up", LrSchedule::WarmUp { updates: 10 }),
    ("cosine", LrSchedule::Cosine { warm_up: 10, updates: 60, floor: 0.1 }),
];

fn golden() -> Golden {
    Golden::load(include_str!("../../tests/golden/optimizers.json"))
}

fn held_to_pytorch<F: Real>() {
    let golden = golden();
    for (rule, schedule) in RULES.iter().flat_map(|rule| SCHEDULES.iter().map(move |course| (rule, course))) {
        let optimizer = Optimizer { rule: rule.1, lr: LR, schedule: schedule.1 };

        let mut draws = Draws(1);
        let mut params = DVector::from_vec(draws.vector::<F>(WEIGHTS, 1.0));
        let mut moments = OptimizerMoments::new(WEIGHTS);
        let mut norms = Vec::new();
        for update in 0..UPDATES {
            let scale = if update % 2 == 1 { 0.25 } else { 2.0 };
            let mut gradient = DVector::from_vec(draws.vector(WEIGHTS, scale));
            norms.push(clip_global_norm(&mut gradient, F::one()));
            moments.step(optimizer.rule, optimizer.lr_at(update), &mut params, &gradient);
            if [1, 2, 10, 30, 60, 70].contains(&(update + 1)) {
                let name = format!("{}.{}.{}", rule.0, schedule.0, update + 1);
                assert_close(params.as_slice(), golden.doubles(&name), &name);
            }
        }

        assert_close(&norms, golden.doubles("norms"), "norms");
    }
}

#[test]
fn the_steps_are_pytorchs() {
    held_to_pytorch::<f64>();
    held_to_pytorch::<f32>();
}

#[test]
fn the_rates_are_pytorchs() {
    for (name, schedule) in SCHEDULES {
        let optimizer = Optimizer { schedule, ..Optimizer::adam(LR) };
        let rates: Vec<f64> = (0..UPDATES).map(|update| optimizer.lr_at(update)).collect();
        assert_close(&rates, golden().doubles(&format!("{name}.rates")), name);
    }
}

#[test]
fn a_schedule_without_length_is_at_its_end() {
    let at = |schedule, updates| Optimizer { schedule, ..Optimizer::adam(1.0) }.lr_at(updates);
    assert_eq!(at(LrSchedule::WarmUp { updates: 0 }, 0), 1.0);
    // The cosine starts at the full rate whatever its length.
    let short = LrSchedule::Cosine { warm_up: 4, updates: 2, floor: 0.25 };
    assert_eq!([3, 4, 5, 1000].map(|updates| at(short, updates)), [1.0, 1.0, 0.25, 0.25]);
    let none = LrSchedule::Cosine { warm_up: 0, updates: 0, floor: 0.25 };
    assert_eq!([0, 1].map(|updates| at(none, updates)), [1.0, 0.25]);
}

#[test]
fn the_first_step_is_the_learning_rate() {
    let mut params = DVector::from_element(2, 1.0f32);
    let gradient = DVector::from_vec(vec![0.5, -0.001]);
    OptimizerMoments::new(2).step(OptimizerRule::Adam { betas: BETAS }, 0.01, &mut params, &gradient);
    assert!((params[0] - 0.99).abs() < 1e-6 && (params[1] - 1.01).abs() < 1e-6, "{params}");
}

#[test]
fn momentum_starts_with_the_gradient() {
    let mut params = DVector::from_element(1, 1.0f64);
    let mut moments = OptimizerMoments::new(1);
    moments.step(OptimizerRule::Sgd { momentum: 0.5 }, 0.25, &mut params, &DVector::from_element(1, 1.0));
    assert_eq!((params[0], moments.mean[0]), (0.75, 1.0));
    moments.step(OptimizerRule::Sgd { momentum: 0.5 }, 0.25, &mut params, &DVector::from_element(1, 1.0));
    assert_eq!((params[0], moments.mean[0]), (0.375, 1.5));
}

#[test]
fn a_short_gradient_is_not_clipped() {
    let mut gradient = DVector::from_vec(vec![0.3f32, 0.4]);
    assert_eq!(clip_global_norm(&mut gradient, 1.0), 0.5);
    assert_eq!(gradient.as_slice(), [0.3, 0.4]);
    assert_eq!(clip_global_norm(&mut gradient, 0.25), 0.5);
    assert!((gradient.norm() - 0.25).abs() < 1e-6 && (gradient[0] / gradient[1] - 0.75).abs() < 1e-6);
}

#[test]
fn a_gradient_that_is_not_finite_is_left_for_the_guard() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut gradient = DVector::from_vec(vec![bad, 0.5]);
        assert!(!clip_global_norm(&mut gradient, 1.0).is_finite());
        assert_eq!(gradient[1], 0.5);
        for (name, rule) in RULES {
            let mut params = DVector::from_element(2, 1.0f32);
            OptimizerMoments::new(2).step(rule, LR, &mut params, &gradient);
            assert!(!params[0].is_finite() && params[1].is_finite(), "{name}: {bad}");
        }
    }
}
