//! Holds the network and the losses on it to finite differences.
//! It must not know the learner. PyTorch's numbers are held in `pytorch/`, what all cells share in
//! `conformance.rs`.

use super::*;
use crate::conformance::{kinds, losses, uniform};
use crate::loss::Loss;
use crate::spec::Activation;
use crate::tbptt::{TrainingExample, TrainingTarget, loss_and_gradient};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

const STEPS: usize = 5;
const BATCH: usize = 2;
const INPUTS: usize = 2;

/// Central differences of `f` at `params`, Richardson-extrapolated: error O(ε⁴).
pub fn differences(params: &DVector<f64>, f: impl Fn(&DVector<f64>) -> f64) -> DVector<f64> {
    let slope = |at: usize, step: f64| {
        let moved = |by: f64| {
            let mut params = params.clone();
            params[at] += by;
            f(&params)
        };
        (moved(step) - moved(-step)) / (2.0 * step)
    };
    let epsilon = 1e-4;
    DVector::from_fn(params.len(), |at, _| (4.0 * slope(at, epsilon / 2.0) - slope(at, epsilon)) / 3.0)
}

/// A network with windows and labels drawn at random.
struct Problem {
    network: Network,
    loss: Loss,
    params: DVector<f64>,
    inputs: DMatrix<f64>,
    start: NetworkState<f64>,
    /// Of each series.
    targets: Vec<Vec<TrainingTarget<f64>>>,
}

/// Errors at which a loss in pieces changes its piece.
fn kinks(loss: &Loss) -> Vec<f64> {
    match loss {
        Loss::Huber { delta } => vec![-*delta, *delta],
        Loss::Pinball { .. } => vec![0.0],
        Loss::Mse | Loss::GaussianNll | Loss::CrossEntropy { .. } => vec![],
        Loss::Directed { point } => kinks(point),
    }
}

impl Problem {
    fn random(kind: usize, loss: Loss, layers: usize, seed: u64) -> Problem {
        let mut rng = Pcg64::seed_from_u64(seed);
        let (cell, activation) = kinds()[kind];
        let outputs = 2 * loss.width();
        let skip = rng.random();
        let spec = NetworkSpec { cell, activation, inputs: INPUTS, hidden: 3, layers, outputs, skip };
        let network = Network::new(spec);

        let mut start = NetworkState::zeros(&spec, BATCH);
        for layer in &mut start.layers {
            layer.h = uniform(spec.hidden, BATCH, &mut rng);
            layer.c = uniform(spec.memory(), BATCH, &mut rng);
        }

        let label = |rng: &mut Pcg64| match loss {
            Loss::CrossEntropy { classes } => rng.random_range(0..classes) as f64,
            _ => 6.0 * rng.random::<f64>() - 3.0,
        };
        let target = |rng: &mut Pcg64| TrainingTarget {
            step: rng.random_range(0..STEPS),
            output: loss.width() * rng.random_range(0..2),
            value: label(rng),
            weight: rng.random(),
        };

        Problem {
            params: uniform(network.layout().len(), 1, &mut rng).column(0).into_owned(),
            inputs: uniform(INPUTS, STEPS * BATCH, &mut rng),
            start,
            targets: (0..BATCH).map(|_| (0..5).map(|_| target(&mut rng)).collect()).collect(),
            network,
            loss,
        }
    }

    fn loss_and_gradient(&self, params: &DVector<f64>) -> (f64, DVector<f64>) {
        let starts: Vec<Vec<f64>> = (0..BATCH).map(|series| self.start.column(series)).collect();
        let example = |series: usize| TrainingExample {
            start: &starts[series],
            inputs: (0..STEPS)
                .map(|step| &self.inputs.as_slice()[(step * BATCH + series) * INPUTS..][..INPUTS])
                .collect(),
            targets: self.targets[series].clone(),
        };
        let examples: Vec<TrainingExample<'_, f64>> = (0..BATCH).map(example).collect();
        loss_and_gradient(&self.network, params, &self.loss, &examples)
    }

    /// On which side of its kinks everything is: units of ReLU, errors of the losses in pieces.
    fn sides(&self, params: &DVector<f64>) -> Vec<bool> {
        let tape = self.network.forward(params, self.inputs.clone(), &self.start);
        let mut sides = Vec::new();

        if self.network.spec().activation == Activation::Relu {
            sides.extend(
                tape.layers
                    .iter()
                    .flat_map(|layer| layer.outputs().iter().map(|h| *h > 0.0).collect::<Vec<_>>()),
            );
        }

        let kinks = kinks(&self.loss);
        for (series, target) in
            self.targets.iter().enumerate().flat_map(|(b, all)| all.iter().map(move |t| (b, t)))
        {
            for output in target.output..target.output + self.loss.width() {
                let error = tape.outputs()[(output, target.step * BATCH + series)] - target.value;
                sides.extend(kinks.iter().map(|kink| error > *kink));
            }
        }

        sides
    }

    /// The relative error of the gradient by finite differences; `None` if one of them goes over a
    /// kink, where there is no derivative to compare with.
    fn error(&self) -> Option<f64> {
        let now = self.sides(&self.params);
        let crossed = std::cell::Cell::new(false);
        let numeric = differences(&self.params, |moved| {
            crossed.set(crossed.get() || self.sides(moved) != now);
            self.loss_and_gradient(moved).0
        });
        let gradient = self.loss_and_gradient(&self.params).1;
        (!crossed.get()).then(|| (&gradient - &numeric).norm() / numeric.norm().max(1e-3))
    }
}

/// Far below the 1e-5 that would do: the differences are extrapolated.
const LIMIT: f64 = 1e-7;

#[test]
fn every_gradient_is_its_finite_differences() {
    let mut worst = 0f64;
    for (kind, layers) in (0..kinds().len()).flat_map(|kind| (1..=3).map(move |layers| (kind, layers))) {
        for loss in losses() {
            // The first seed whose differences keep off all kinks.
            let mut errors =
                (0..20).filter_map(|seed| Problem::random(kind, loss.clone(), layers, seed).error());
            let error = errors.next().expect("a problem away from the kinks");
            assert!(error < LIMIT, "{:?} {layers} {loss:?}: {error}", kinds()[kind]);
            worst = worst.max(error);
        }
    }

    println!("worst relative error of a gradient: {worst:.1e}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn gradients_are_finite_differences(
        seed in any::<u64>(),
        kind in 0..kinds().len(),
        loss in 0..losses().len(),
        layers in 1usize..=3,
    ) {
        let problem = Problem::random(kind, losses().swap_remove(loss), layers, seed);
        let error = problem.error();
        prop_assume!(error.is_some());
        prop_assert!(error.is_some_and(|error| error < LIMIT), "{:?} {error:?}", problem.network.spec());
    }
}

#[test]
fn a_state_is_its_columns() {
    for (kind, _) in kinds().iter().enumerate() {
        let Problem { network, start, .. } = Problem::random(kind, Loss::Mse, 2, 4);
        let columns: Vec<Vec<f64>> = (0..BATCH).map(|b| start.column(b)).collect();
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        assert_eq!(NetworkState::from_columns(network.spec(), &columns), start);
    }
}
