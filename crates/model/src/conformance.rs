//! What every cell, loss and optimiser has to do, whichever it is. Whoever adds one adds it to the
//! tables here (the compiler leads to them), and all tests run over it. It must not know equations:
//! each file's own tests hold those.

use nalgebra::{DMatrix, DVector};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use crate::loss::Loss;
use crate::network::{Network, NetworkState};
use crate::optimizer::{BETAS, LrSchedule, Optimizer, OptimizerMoments, OptimizerRule, clip_global_norm};
use crate::real::Real;
use crate::spec::{Activation, CellKind, NetworkSpec};
use crate::tbptt::{TrainingExample, TrainingTarget, loss_and_gradient};

/// Every cell, the simple one with each activation.
pub fn kinds() -> Vec<(CellKind, Activation)> {
    let mut kinds = Vec::new();
    for cell in [CellKind::Rnn, CellKind::Lstm, CellKind::Gru] {
        kinds.extend(match cell {
            CellKind::Rnn => {
                vec![(cell, Activation::Tanh), (cell, Activation::Relu), (cell, Activation::Sigmoid)]
            }
            CellKind::Lstm | CellKind::Gru => vec![(cell, Activation::Tanh)],
        });
    }

    for (_, activation) in &kinds {
        match activation {
            // One more here is one more above.
            Activation::Tanh | Activation::Relu | Activation::Sigmoid => {}
        }
    }

    kinds
}

pub fn losses() -> Vec<Loss> {
    let losses = vec![
        Loss::Mse,
        Loss::Huber { delta: 1.5 },
        Loss::Pinball { levels: vec![0.1, 0.5, 0.9] },
        Loss::GaussianNll,
        Loss::CrossEntropy { classes: 3 },
        Loss::Directed { point: Box::new(Loss::Huber { delta: 1.5 }) },
    ];

    for loss in &losses {
        match loss {
            // One more here is one more above.
            Loss::Mse
            | Loss::Huber { .. }
            | Loss::Pinball { .. }
            | Loss::GaussianNll
            | Loss::CrossEntropy { .. }
            | Loss::Directed { .. } => {}
        }
    }

    losses
}

fn kinds_and_losses() -> impl Iterator<Item = ((CellKind, Activation), Loss)> {
    kinds().into_iter().flat_map(|kind| losses().into_iter().map(move |loss| (kind, loss)))
}

/// Every rule under every schedule, at rates for the problem below.
pub fn optimizers() -> Vec<Optimizer> {
    let rules = [
        (OptimizerRule::Sgd { momentum: 0.0 }, 0.2),
        (OptimizerRule::Sgd { momentum: 0.9 }, 0.05),
        (OptimizerRule::Adam { betas: BETAS }, 0.02),
        (OptimizerRule::AdamW { betas: BETAS, weight_decay: 0.01 }, 0.02),
        (OptimizerRule::RmsProp { alpha: 0.99 }, 0.005),
    ];

    let schedules = [
        LrSchedule::Constant,
        LrSchedule::WarmUp { updates: 10 },
        LrSchedule::Cosine { warm_up: 5, updates: 40, floor: 0.1 },
    ];

    // One more in a match here is one more above.
    for (rule, _) in &rules {
        match rule {
            OptimizerRule::Sgd { .. }
            | OptimizerRule::Adam { .. }
            | OptimizerRule::AdamW { .. }
            | OptimizerRule::RmsProp { .. } => {}
        }
    }

    for schedule in &schedules {
        match schedule {
            LrSchedule::Constant | LrSchedule::WarmUp { .. } | LrSchedule::Cosine { .. } => {}
        }
    }

    let under = |(rule, lr)| schedules.map(|schedule| Optimizer { rule, lr, schedule });
    rules.into_iter().flat_map(under).collect()
}

/// Every network: cells, one layer to three, with skip and without.
fn specs(inputs: usize, outputs: usize) -> Vec<NetworkSpec> {
    let mut specs = Vec::new();
    for (cell, activation) in kinds() {
        for (layers, skip) in [(1, true), (1, false), (2, true), (2, false), (3, true), (3, false)] {
            specs.push(NetworkSpec { cell, activation, inputs, hidden: 5, layers, outputs, skip });
        }
    }
    specs
}

/// Numbers in [−1, 1).
pub fn uniform(rows: usize, columns: usize, rng: &mut Pcg64) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |_, _| 2.0 * rng.random::<f64>() - 1.0)
}

const UPDATES: u64 = 40;
const STEPS: usize = 6;
const SERIES: usize = 6;
const INPUTS: usize = 2;

/// A small thing to learn: the mean of the last three first features, or in which third of the line
/// it lies.
struct Problem<F: Real> {
    network: Network,
    loss: Loss,
    start: Vec<F>,
    /// Of each series, step by step.
    inputs: Vec<Vec<F>>,
    targets: Vec<Vec<TrainingTarget<F>>>,
}

impl<F: Real> Problem<F> {
    fn new((cell, activation): (CellKind, Activation), loss: &Loss) -> Problem<F> {
        let spec = NetworkSpec {
            cell,
            activation,
            inputs: INPUTS,
            hidden: 5,
            layers: 1,
            outputs: loss.width(),
            skip: true,
        };

        let network = Network::new(spec);
        let mut rng = Pcg64::seed_from_u64(7);
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for _ in 0..SERIES {
            let x = uniform(INPUTS, STEPS, &mut rng);
            let target = |step: usize| {
                let mean = x.view((0, step - 2), (1, 3)).sum() / 3.0;
                let class = f64::from(u8::from(mean > -0.2) + u8::from(mean > 0.2));
                let value = if matches!(loss, Loss::CrossEntropy { .. }) { class } else { 1.0 + 2.0 * mean };
                TrainingTarget {
                    step,
                    output: 0,
                    value: F::of(value),
                    weight: F::of(1.0 / (4 * SERIES) as f64),
                }
            };
            targets.push((2..STEPS).map(target).collect());
            inputs.push(x.iter().map(|value| F::of(*value)).collect());
        }

        let start = NetworkState::zeros(&spec, 1).column(0);
        Problem { network, loss: loss.clone(), start, inputs, targets }
    }

    fn loss_and_gradient<'a>(&'a self, params: &DVector<F>) -> (F, DVector<F>) {
        let example = |(inputs, targets): (&'a Vec<F>, &Vec<TrainingTarget<F>>)| TrainingExample {
            start: self.start.as_slice(),
            inputs: inputs.chunks(INPUTS).collect(),
            targets: targets.clone(),
        };
        let examples: Vec<TrainingExample<'a, F>> =
            self.inputs.iter().zip(&self.targets).map(example).collect();
        loss_and_gradient(&self.network, params, &self.loss, &examples)
    }
}

/// Where an optimiser is.
#[derive(Debug, Clone, PartialEq)]
struct Course {
    params: DVector<f32>,
    moments: OptimizerMoments<f32>,
    updates: u64,
}

impl Course {
    fn new(params: DVector<f32>) -> Course {
        Course { moments: OptimizerMoments::new(params.len()), params, updates: 0 }
    }

    fn step(&mut self, optimizer: &Optimizer, gradient: &DVector<f32>) {
        let lr = optimizer.lr_at(self.updates);
        self.moments.step(optimizer.rule, lr, &mut self.params, gradient);
        self.updates += 1;
    }
}

#[test]
fn a_fresh_network_says_exactly_zero() {
    for spec in specs(7, 3) {
        let mut rng = Pcg64::seed_from_u64(3);
        let network = Network::new(spec);
        let start = vec![1.0; spec.state_len()];
        let start = NetworkState::from_columns(&spec, &[&start, &start]);
        let tape = network.forward(&network.initial_params(5), uniform(7, 20, &mut rng), &start);
        assert!(tape.outputs().iter().all(|output| *output == 0.0), "{spec:?}");
        assert!(tape.end().layers.iter().all(|layer| layer.h.norm() > 0.0), "{spec:?}");
    }
}

#[test]
fn steps_one_by_one_are_the_window() {
    for spec in specs(2, 3) {
        let mut rng = Pcg64::seed_from_u64(4);
        let network = Network::new(spec);
        let params = uniform(network.layout().len(), 1, &mut rng).column(0).into_owned();
        let inputs = uniform(2, STEPS * 3, &mut rng);
        let mut state = NetworkState::zeros(&spec, 3);
        let tape = network.forward(&params, inputs.clone(), &state);

        for step in 0..STEPS {
            let (outputs, next) = network.step(&params, &inputs.columns(3 * step, 3).into_owned(), &state);
            assert!((outputs - tape.outputs().columns(3 * step, 3)).amax() < 1e-14, "{spec:?}");
            state = next;
        }

        for (layer, end) in state.layers.iter().zip(tape.end().layers) {
            assert!((&layer.h - end.h).amax() < 1e-14, "{spec:?}");
            assert!(layer.c.iter().zip(end.c.iter()).all(|(c, end)| (c - end).abs() < 1e-14), "{spec:?}");
        }
    }
}

/// In a network, and on one of several series: nothing of it may get lost on the way to the guard.
#[test]
fn a_label_that_is_no_number_makes_the_loss_none() {
    for (kind, loss) in kinds_and_losses() {
        let mut problem = Problem::<f32>::new(kind, &loss);
        let params = problem.network.initial_params(1);
        let (value, gradient) = problem.loss_and_gradient(&params);
        assert!(value.is_finite() && gradient.iter().all(|slope| slope.is_finite()), "{kind:?} {loss:?}");
        problem.targets[3][1].value = f32::NAN;
        let (value, gradient) = problem.loss_and_gradient(&params);
        assert!(value.is_nan() && !gradient.norm().is_finite(), "{kind:?} {loss:?}");
    }
}

#[test]
fn a_feature_that_is_no_number_makes_the_loss_none() {
    for (kind, loss) in kinds_and_losses() {
        let mut problem = Problem::<f32>::new(kind, &loss);
        problem.inputs[2][1] = f32::NAN;
        let params = DVector::from_element(problem.network.layout().len(), 0.1);
        let (value, gradient) = problem.loss_and_gradient(&params);
        assert!(value.is_nan() && !gradient.norm().is_finite(), "{kind:?} {loss:?}");
    }
}

/// From a fresh network, through the clip, in the f32 that is in use.
#[test]
fn every_combination_learns() {
    let mut least = f32::INFINITY;
    for (kind, loss) in kinds_and_losses() {
        let problem = Problem::<f32>::new(kind, &loss);
        for optimizer in optimizers() {
            let mut course = Course::new(problem.network.initial_params(1));
            let before = problem.loss_and_gradient(&course.params).0;

            for _ in 0..UPDATES {
                let (value, mut gradient) = problem.loss_and_gradient(&course.params);
                assert!(value.is_finite() && clip_global_norm(&mut gradient, 1.0).is_finite());
                course.step(&optimizer, &gradient);
            }

            let after = problem.loss_and_gradient(&course.params).0;
            // Of the loss, not of its size: a likelihood may be negative.
            let gain = before - after;
            assert!(gain > 0.05 * before.abs(), "{kind:?} {loss:?} {optimizer:?}: {before} -> {after}");
            least = least.min(gain / before.abs());
        }
    }

    println!("least share of a loss that {UPDATES} updates took away: {least:.2}");
}

#[test]
fn without_a_gradient_nothing_moves() {
    let fresh = DVector::from_fn(9, |at, _| at as f32 - 4.0);
    let none = DVector::zeros(9);

    for optimizer in optimizers() {
        let mut course = Course::new(fresh.clone());
        for _ in 0..5 {
            course.step(&optimizer, &none);
        }

        match optimizer.rule {
            OptimizerRule::AdamW { weight_decay, .. } => {
                let kept: f64 = (0..5).map(|n| 1.0 - optimizer.lr_at(n) * weight_decay).product();
                assert!((&course.params - &fresh * kept as f32).amax() < 1e-6, "{optimizer:?}");
            }
            OptimizerRule::Sgd { .. } | OptimizerRule::Adam { .. } | OptimizerRule::RmsProp { .. } => {
                assert_eq!(course.params, fresh, "{optimizer:?}");
            }
        }
    }
}

#[test]
fn moments_from_a_snapshot_go_on_bit_for_bit() {
    for optimizer in optimizers() {
        let mut rng = Pcg64::seed_from_u64(5);
        let mut gradient = || uniform(9, 1, &mut rng).column(0).map(|slope| slope as f32);
        let mut undisturbed = Course::new(gradient());
        for _ in 0..7 {
            undisturbed.step(&optimizer, &gradient());
        }
        let bytes = postcard::to_stdvec(&undisturbed.moments).unwrap();

        let mut resumed = Course { moments: postcard::from_bytes(&bytes).unwrap(), ..undisturbed.clone() };
        for _ in 0..20 {
            let gradient = gradient();
            undisturbed.step(&optimizer, &gradient);
            resumed.step(&optimizer, &gradient);
        }

        let bits = |course: &Course| postcard::to_stdvec(&(&course.params, &course.moments)).unwrap();
        assert_eq!(bits(&resumed), bits(&undisturbed), "{optimizer:?}");
    }
}

#[test]
fn settings_survive_a_snapshot() {
    for loss in losses() {
        assert_eq!(postcard::from_bytes::<Loss>(&postcard::to_stdvec(&loss).unwrap()).unwrap(), loss);
    }
    for optimizer in optimizers() {
        let bytes = postcard::to_stdvec(&optimizer).unwrap();
        assert_eq!(postcard::from_bytes::<Optimizer>(&bytes).unwrap(), optimizer);
    }
}
