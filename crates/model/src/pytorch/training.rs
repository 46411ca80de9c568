//! A textbook's network and training: a simple RNN of 50 units over 20 steps of 10 features, fully
//! connected on the last step, Adam at 0.01 over 100 epochs of a batch of 32, full backpropagation
//! through time. From the same weights and data as in PyTorch, the losses on the way are PyTorch's:
//! 3000 weights learn 32 labels by heart, their noise too.
//! It must not know the learner.

use nalgebra::DVector;

use crate::engine::{Backend, Engine};
use crate::golden::{Draws, Golden, double};
use crate::gradient::GradientPass;
use crate::kernel::AlignedFloats;
use crate::loss::Loss;
use crate::network::{Network, NetworkState};
use crate::optimizer::{Optimizer, OptimizerMoments};
use crate::real::Real;
use crate::spec::{Activation, CellKind, NetworkSpec};
use crate::tbptt::{TrainingExample, TrainingTarget, loss_and_gradient};
use crate::train_state::{ClippedGradient, TrainState};

const FEATURES: usize = 10;
const UNITS: usize = 50;
const STEPS: usize = 20;
const SEQUENCES: usize = 32;
const EPOCHS: usize = 100;
const CLASSES: usize = 3;

/// Losses and accuracies before every tenth epoch and after the last.
type Way = (Vec<f64>, Vec<f64>);

struct Sequence<F> {
    /// Step by step.
    inputs: Vec<F>,
    label: F,
}

struct Task<F: Real> {
    network: Network,
    loss: Loss,
    params: DVector<F>,
    sequences: Vec<Sequence<F>>,
    /// The zero state.
    start: Vec<F>,
}

impl<F: Real> Task<F> {
    /// The mean of the first feature is to be found, or which third of the line it lies in, both
    /// through some noise.
    fn new(loss: Loss, seed: u64) -> Task<F> {
        let network = Network::new(NetworkSpec {
            cell: CellKind::Rnn,
            activation: Activation::Tanh,
            inputs: FEATURES,
            hidden: UNITS,
            layers: 1,
            outputs: loss.width(),
            skip: false,
        });

        let mut draws = Draws(seed);
        let params = draws.vector(network.layout().len(), 1.0 / (UNITS as f64).sqrt());

        let sequence = |_| {
            let inputs: Vec<f64> = draws.vector(STEPS * FEATURES, 1.0);
            let total: f64 = inputs.iter().step_by(FEATURES).sum();
            let noisy = total / STEPS as f64 + 0.05 * draws.next();
            let class = f64::from(u8::from(noisy > -0.05) + u8::from(noisy > 0.05));
            let label = if loss == Loss::Mse { noisy } else { class };
            Sequence { inputs: inputs.into_iter().map(F::of).collect(), label: F::of(label) }
        };

        let sequences = (0..SEQUENCES).map(sequence).collect();
        let start = NetworkState::zeros(network.spec(), 1).column(0);
        Task { network, loss, params: DVector::from_vec(params), sequences, start }
    }

    /// Their loss is the mean loss.
    fn examples(&self) -> Vec<TrainingExample<'_, F>> {
        let weight = F::of(1.0 / SEQUENCES as f64);
        let target = |label| vec![TrainingTarget { step: STEPS - 1, output: 0, value: label, weight }];
        self.sequences
            .iter()
            .map(|Sequence { inputs, label }| TrainingExample {
                start: &self.start,
                inputs: inputs.chunks(FEATURES).collect(),
                targets: target(*label),
            })
            .collect()
    }

    /// The share of sequences whose largest output is that of their class.
    fn accuracy(&self) -> f64 {
        let right = |sequence: &&Sequence<F>| {
            let inputs = nalgebra::DMatrix::from_column_slice(FEATURES, STEPS, &sequence.inputs);
            let tape =
                self.network.forward(&self.params, inputs, &NetworkState::zeros(self.network.spec(), 1));
            F::of(tape.outputs().column(STEPS - 1).argmax().0 as f64) == sequence.label
        };
        self.sequences.iter().filter(right).count() as f64 / SEQUENCES as f64
    }

    /// Trains.
    fn train(mut self) -> Way {
        let adam = Optimizer::adam(0.01);

        let mut moments = OptimizerMoments::new(self.params.len());
        let (mut losses, mut accuracies) = (Vec::new(), Vec::new());
        for epoch in 0..=EPOCHS {
            let (loss, gradient) =
                loss_and_gradient(&self.network, &self.params, &self.loss, &self.examples());
            if epoch % 10 == 0 {
                losses.push(double(loss));
                accuracies.push(self.accuracy());
            }
            moments.step(adam.rule, adam.lr_at(epoch as u64), &mut self.params, &gradient);
        }

        (losses, accuracies)
    }
}

impl Task<f32> {
    /// As `train`, by the engine that learns in production.
    fn train_by(mut self, backend: Backend) -> Way {
        let (engine, adam) = (Engine::new(*self.network.spec(), backend), Optimizer::adam(0.01));

        let (mut tape, mut gradient) = (engine.tape(), AlignedFloats::zeros(engine.len()));
        let mut fit = TrainState::new(engine.pack(&self.params));
        let mut next = fit.clone();
        let (mut losses, mut accuracies) = (Vec::new(), Vec::new());
        for epoch in 0..=EPOCHS {
            let examples = self.examples();
            let pass =
                GradientPass { engine: &engine, params: &fit.params, loss: &self.loss, longest: STEPS };
            let loss = pass.run(examples.iter(), &mut tape, &mut gradient);
            drop(examples);
            if epoch % 10 == 0 {
                self.params = engine.unpack(&fit.params);
                losses.push(f64::from(loss));
                accuracies.push(self.accuracy());
            }
            let clipped = ClippedGradient { values: &gradient, scale: 1.0 };
            assert!(fit.step(&engine, &adam, 0.0, clipped, &mut next));
            std::mem::swap(&mut fit, &mut next);
        }

        (losses, accuracies)
    }
}

/// Asserts the losses on the way to be within `limit` of PyTorch's, relative, and the accuracies to
/// be the same.
fn arrives_where_pytorch_does<F: Real>(task: &str, float: &str, limit: f64, train: fn(Task<F>) -> Way) {
    let golden = Golden::load(include_str!("../../tests/golden/training.json"));
    let regression = task == "regression";
    let loss = if regression { Loss::Mse } else { Loss::CrossEntropy { classes: CLASSES } };

    let (losses, accuracies) = train(Task::new(loss, if regression { 2 } else { 3 }));
    let expected = golden.doubles(&format!("{task}.{float}.losses"));
    let errors = losses.iter().zip(expected).map(|(loss, expected)| (loss / expected - 1.0).abs());
    let error = errors.fold(0.0, f64::max);
    let [first, .., last] = losses[..] else { panic!("a loss at each end") };
    println!("{task}, {float}: {first:e} -> {last:e}, PyTorch's {:e}, off by {error:.1e}", expected[10]);
    assert!(losses.len() == expected.len() && error <= limit, "{task} {float}: {losses:?} {expected:?}");
    assert!(last < 1e-2 * first, "{task} {float}: {losses:?}");

    if !regression {
        assert_eq!(accuracies, golden.doubles(&format!("{task}.{float}.accuracies")));
    }
}

#[test]
fn a_regression_arrives_where_pytorch_does() {
    arrives_where_pytorch_does::<f64>("regression", "float64", 1e-6, Task::train);
    arrives_where_pytorch_does::<f32>("regression", "float32", 0.01, Task::train);
    arrives_where_pytorch_does("regression", "float32", 0.01, |task| task.train_by(Backend::Fused));
    arrives_where_pytorch_does("regression", "float32", 0.01, |task| task.train_by(Backend::Nalgebra));
}

#[test]
fn a_classification_arrives_where_pytorch_does() {
    arrives_where_pytorch_does::<f64>("classes", "float64", 1e-6, Task::train);
    arrives_where_pytorch_does::<f32>("classes", "float32", 0.01, Task::train);
    arrives_where_pytorch_does("classes", "float32", 0.01, |task| task.train_by(Backend::Fused));
    arrives_where_pytorch_does("classes", "float32", 0.01, |task| task.train_by(Backend::Nalgebra));
}
