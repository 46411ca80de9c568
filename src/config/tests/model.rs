//! The `forecast.model` block: what its keys become, and what does not belong together.
//! It must not test how a network learns.

use super::*;

/// The plan of a `forecast.model` block, horizons 1 and 6 and levels 0.5 and 0.9.
fn model(block: &str) -> LearnerSpec {
    plan(&forecasting(&format!("{{target: temp, horizons: [1, 6], levels: [0.5, 0.9], model: {block}}}")))
        .targets
        .shared()
        .model
        .clone()
}

#[test]
fn every_key_of_the_model_reaches_the_plan() {
    let found = model(
        "{cell: rnn, activation: sigmoid, skip: false, bptt: 40, stride: 8, replay: 0, loss: gaussian_nll, \
         optimizer: {sgd: {lr: 0.01}}, clip: 0.5, ema: 0, scope: series, seed: 7, backend: nalgebra}",
    );
    assert_eq!((found.cell, found.activation, found.skip), (CellKind::Rnn, Activation::Sigmoid, false));
    assert_eq!((found.bptt, found.stride, found.clip, found.ema), (40, 8, 0.5, 0.0));
    assert_eq!((found.loss, found.backend), (Loss::GaussianNll, Backend::Nalgebra));
    assert_eq!(model("{loss: mse}").loss, Loss::Mse);
    let Loss::Pinball { levels } = model("{loss: pinball}").loss else { panic!("no pinball") };
    assert_eq!(levels.len(), 5);
    assert!(levels.is_sorted() && levels.contains(&0.5) && levels[4] == 0.95, "{levels:?}");
    // As wide as the stride asks, where that is more than usual.
    assert_eq!((model("{stride: 20}").bptt, model("{stride: 100}").bptt), (32, 106));
}

#[test]
fn optimizers_have_pytorchs_defaults_and_a_schedule() {
    let betas = (0.9, 0.999);
    let (constant, optimizer) =
        (LrSchedule::Constant, |block: &str| model(&format!("{{optimizer: {block}}}")).optimizer);
    let cases = [
        ("{sgd: {}}", OptimizerRule::Sgd { momentum: 0.9 }, 1e-3, constant),
        ("{sgd: {momentum: 0, schedule: constant}}", OptimizerRule::Sgd { momentum: 0.0 }, 1e-3, constant),
        ("{adam: {}}", OptimizerRule::Adam { betas }, 1e-3, constant),
        ("{adamw: {lr: 1e-2}}", OptimizerRule::AdamW { betas, weight_decay: 0.01 }, 1e-2, constant),
        ("{adamw: {weight_decay: 0.1}}", OptimizerRule::AdamW { betas, weight_decay: 0.1 }, 1e-3, constant),
        ("{rmsprop: {}}", OptimizerRule::RmsProp { alpha: 0.99 }, 1e-3, constant),
        (
            "{rmsprop: {alpha: 0.9, schedule: {warm_up: 50}}}",
            OptimizerRule::RmsProp { alpha: 0.9 },
            1e-3,
            LrSchedule::WarmUp { updates: 50 },
        ),
        (
            "{adam: {schedule: {cosine: {updates: 900}}}}",
            OptimizerRule::Adam { betas },
            1e-3,
            LrSchedule::Cosine { warm_up: 0, updates: 900, floor: 0.1 },
        ),
        (
            "{adam: {schedule: {cosine: {warm_up: 10, updates: 900, floor: 0}}}}",
            OptimizerRule::Adam { betas },
            1e-3,
            LrSchedule::Cosine { warm_up: 10, updates: 900, floor: 0.0 },
        ),
    ];
    for (block, rule, lr, schedule) in cases {
        assert_eq!(optimizer(block), Optimizer { rule, lr, schedule }, "{block}");
    }
}

#[test]
fn what_does_not_belong_together_in_a_model_is_told_at_its_place() {
    let cases = [
        (
            "{activation: relu}",
            "activation: only the rnn cell has a choice, lstm and gru have theirs by definition (drop it, or write cell: rnn)",
        ),
        (
            "{loss: pinbal}",
            r#"loss: unknown word "pinbal"; did you mean "pinball"? (one of mse, huber, pinball, gaussian_nll)"#,
        ),
        ("{strid: 2}", r#"strid: unknown key; did you mean "stride"?"#),
        ("{stride: 0}", "stride: 0 is too small, at least 1"),
        (
            "{bptt: 32, stride: 27}",
            "stride: labels would leave the 32 steps of model.bptt before they are learned, at most 32 - the longest horizon = 26",
        ),
        (
            "{stride: 4096}",
            "stride: a horizon of 6 with a stride of 4096 needs more than the 4096 steps of model.bptt",
        ),
        ("{clip: 0}", "clip: 0 is not above 0 (write it like 1.0)"),
        ("{clip: .inf}", "clip: inf is not above 0 (write it like 1.0)"),
        ("{ema: 1}", "ema: 1 is not from 0 to below 1 (write it like 0.9)"),
        ("{ema: 0.999999999999}", "ema: 0.999999999999 is not from 0 to below 1 (write it like 0.9)"),
        ("{optimizer: {}}", "optimizer: needs one of sgd, adam, adamw, rmsprop"),
        ("{optimizer: adam}", r#"optimizer: needs a block of keys, not "adam""#),
        (
            "{optimizer: {adam: {}, sgd: {}}}",
            "optimizer.adam: only one of sgd, adam, adamw, rmsprop; sgd is there already",
        ),
        ("{optimizer: {adamm: {}}}", r#"optimizer.adamm: unknown key; did you mean "adam"?"#),
        (
            "{optimizer: {adam: {momentum: 0.9}}}",
            "optimizer.adam.momentum: unknown key (valid here: lr, schedule)",
        ),
        (
            "{optimizer: {sgd: {momentum: 1}}}",
            "optimizer.sgd.momentum: 1 is not from 0 to below 1 (write it like 0.9)",
        ),
        (
            "{optimizer: {rmsprop: {lr: 2}}}",
            "optimizer.rmsprop.lr: 2 is not a learning rate between 0 and 1 (write it like 3e-4)",
        ),
        (
            "{optimizer: {adam: {schedule: linear}}}",
            r#"optimizer.adam.schedule: unknown schedule "linear" (constant, { warm_up: … } or { cosine: … })"#,
        ),
        ("{optimizer: {adam: {schedule: {}}}}", "optimizer.adam.schedule: needs one of warm_up, cosine"),
        (
            "{optimizer: {adam: {schedule: {warm_up: 5, cosine: {updates: 9}}}}}",
            "optimizer.adam.schedule.cosine: only one of warm_up, cosine; warm_up is there already",
        ),
        (
            "{optimizer: {adam: {schedule: {cosine: {}}}}}",
            "optimizer.adam.schedule.cosine.updates: missing (after how many updates the rate is at its floor)",
        ),
        (
            "{optimizer: {adam: {schedule: {cosine: {warm_up: 9, updates: 9}}}}}",
            "optimizer.adam.schedule.cosine.updates: 9 leaves nothing after the warm_up of 9 updates",
        ),
        (
            "{optimizer: {adam: {schedule: {cosine: {updates: 9, floor: 1.5}}}}}",
            "optimizer.adam.schedule.cosine.floor: 1.5 is not from 0 to 1 (write it like 0.1)",
        ),
    ];
    for (block, expected) in cases {
        let found = faults(&forecasting(&format!("{{target: temp, horizons: [6], model: {block}}}")));
        let [found] = &found[..] else { panic!("{block}: {found:?}") };
        assert_eq!(found.split_once("forecast.model.").unwrap().1, expected, "{block}");
    }
}
