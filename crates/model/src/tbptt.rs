//! Truncated backpropagation through time: the loss over windows of series, and its gradient.
//! It must not know where the windows come from or what is done with the gradient.

use nalgebra::{DMatrix, DVector};

use super::loss::Loss;
use super::network::{Network, NetworkState};
use super::real::Real;

/// Series on one tape at most: it bounds the tape whatever the number of series.
pub(crate) const MAX_BATCH: usize = 64;

/// One series' window to learn from.
#[derive(Debug, Clone)]
pub struct TrainingExample<'a, F> {
    /// The state before the first step, as `NetworkState::column` gives it. A constant: no gradient
    /// goes before it.
    pub start: &'a [F],
    /// The features of each step, at most T.
    pub inputs: Vec<&'a [F]>,
    /// The labels in the window that count.
    pub targets: Vec<TrainingTarget<F>>,
}

/// A label that counts in the loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainingTarget<F> {
    /// Steps after the window's first.
    pub step: usize,
    /// The first of the outputs that the loss reads for it.
    pub output: usize,
    /// The truth.
    pub value: F,
    /// Its factor in the loss.
    pub weight: F,
}

/// L = Σ weight · ℓ(y[step, output…], value) over all targets of all examples, and ∂L/∂params.
///
/// Examples may differ in length: the shorter ones are filled up with zero inputs *after* their
/// last step. Nothing there has a label and time runs forwards, so the filling adds exactly nothing
/// to loss or gradient.
pub fn loss_and_gradient<F: Real>(
    network: &Network,
    params: &DVector<F>,
    loss: &Loss,
    examples: &[TrainingExample<'_, F>],
) -> (F, DVector<F>) {
    let mut total = F::zero();
    let mut gradient = DVector::zeros(network.layout().len());
    for batch in examples.chunks(MAX_BATCH) {
        let (value, part) = batch_loss_and_gradient(network, params, loss, batch);
        total += value;
        gradient += part;
    }

    (total, gradient)
}

fn batch_loss_and_gradient<F: Real>(
    network: &Network,
    params: &DVector<F>,
    loss: &Loss,
    examples: &[TrainingExample<'_, F>],
) -> (F, DVector<F>) {
    let (spec, batch) = (network.spec(), examples.len());
    let steps = examples.iter().map(|example| example.inputs.len()).max().unwrap_or(0);

    let mut inputs = DMatrix::zeros(spec.inputs, steps * batch);
    for (series, example) in examples.iter().enumerate() {
        for (step, input) in example.inputs.iter().enumerate() {
            inputs.column_mut(step * batch + series).copy_from_slice(input);
        }
    }

    let starts: Vec<&[F]> = examples.iter().map(|example| example.start).collect();
    let tape = network.forward(params, inputs, &NetworkState::from_columns(spec, &starts));

    let mut total = F::zero();
    let mut d_outputs = DMatrix::zeros(spec.outputs, steps * batch);
    for (series, example) in examples.iter().enumerate() {
        for target in &example.targets {
            assert!(target.step < example.inputs.len(), "a label outside its window");
            let at = target.step * batch + series;
            let read = at * spec.outputs + target.output..at * spec.outputs + target.output + loss.width();
            let outputs = &tape.outputs().as_slice()[read.clone()];
            total += loss.add(outputs, target.value, target.weight, &mut d_outputs.as_mut_slice()[read]);
        }
    }

    (total, network.backward(params, &tape, &d_outputs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::NetworkSpec;
    use crate::spec::{Activation, CellKind};
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;

    const STEPS: usize = 12;
    const HUBER: Loss = Loss::Huber { delta: 1.5 };

    fn network(cell: CellKind) -> Network {
        let activation = Activation::Tanh;
        Network::new(NetworkSpec {
            cell,
            activation,
            inputs: 3,
            hidden: 5,
            layers: 2,
            outputs: 2,
            skip: true,
        })
    }

    fn random(len: usize, scale: f64, rng: &mut Pcg64) -> Vec<f64> {
        (0..len).map(|_| scale * (2.0 * rng.random::<f64>() - 1.0)).collect()
    }

    struct Series {
        start: Vec<f64>,
        inputs: Vec<Vec<f64>>,
        targets: Vec<TrainingTarget<f64>>,
    }

    impl Series {
        fn random(network: &Network, steps: usize, rng: &mut Pcg64) -> Series {
            let inputs = (0..steps).map(|_| random(3, 1.0, rng)).collect();
            let target = |rng: &mut Pcg64| TrainingTarget {
                step: rng.random_range(0..steps),
                output: rng.random_range(0..2),
                value: 4.0 * rng.random::<f64>() - 2.0,
                weight: rng.random(),
            };
            let targets = (0..6).map(|_| target(rng)).collect();
            Series { start: random(network.spec().state_len(), 0.5, rng), inputs, targets }
        }

        fn example(&self) -> TrainingExample<'_, f64> {
            let inputs = self.inputs.iter().map(Vec::as_slice).collect();
            TrainingExample { start: &self.start, inputs, targets: self.targets.clone() }
        }

        /// The state after the first `steps` steps.
        fn state_after(&self, network: &Network, params: &DVector<f64>, steps: usize) -> Vec<f64> {
            let mut state = NetworkState::from_columns(network.spec(), &[&self.start]);
            for input in &self.inputs[..steps] {
                state = network.step(params, &DMatrix::from_column_slice(3, 1, input), &state).1;
            }
            state.column(0)
        }

        /// The last `steps` steps as a window of their own, with the labels in it.
        fn tail(&self, network: &Network, params: &DVector<f64>, steps: usize) -> Series {
            let first = self.inputs.len() - steps;
            let moved = |target: &TrainingTarget<f64>| {
                target.step.checked_sub(first).map(|step| TrainingTarget { step, ..*target })
            };
            Series {
                start: self.state_after(network, params, first),
                inputs: self.inputs[first..].to_vec(),
                targets: self.targets.iter().filter_map(moved).collect(),
            }
        }
    }

    fn setup(cell: CellKind) -> (Network, DVector<f64>, Pcg64) {
        let network = network(cell);
        let mut rng = Pcg64::seed_from_u64(11);
        let params = DVector::from_vec(random(network.layout().len(), 0.8, &mut rng));
        (network, params, rng)
    }

    fn close(a: &DVector<f64>, b: &DVector<f64>) -> bool {
        (a - b).norm() <= 1e-12 * b.norm()
    }

    #[test]
    fn examples_of_any_length_add_up_exactly() {
        for cell in [CellKind::Rnn, CellKind::Lstm, CellKind::Gru] {
            let (network, params, mut rng) = setup(cell);
            let series: Vec<Series> =
                (0..70).map(|k| Series::random(&network, 1 + k % STEPS, &mut rng)).collect();
            let examples: Vec<TrainingExample<'_, f64>> = series.iter().map(Series::example).collect();
            let (loss, gradient) = loss_and_gradient(&network, &params, &HUBER, &examples);
            let alone = |e: &TrainingExample<'_, f64>| {
                loss_and_gradient(&network, &params, &HUBER, std::slice::from_ref(e))
            };
            let parts: Vec<(f64, DVector<f64>)> = examples.iter().map(alone).collect();
            assert!((loss - parts.iter().map(|part| part.0).sum::<f64>()).abs() < 1e-12 * loss);
            let sum = parts.iter().fold(DVector::zeros(gradient.len()), |sum, (_, part)| sum + part);
            assert!(close(&gradient, &sum), "{cell:?}");
        }
    }

    /// Full BPTT over a sequence is the forward and backward pass over all of it: a window as long
    /// as the sequence gives the same, a shorter one leaves out only what came before it.
    #[test]
    fn a_window_as_long_as_the_sequence_is_full_bptt() {
        for cell in [CellKind::Rnn, CellKind::Lstm, CellKind::Gru] {
            let (network, params, mut rng) = setup(cell);
            let mut series = Series::random(&network, STEPS, &mut rng);
            series.targets.iter_mut().for_each(|target| target.step = STEPS - 1);
            let flat: Vec<f64> = series.inputs.concat();
            let start = NetworkState::from_columns(network.spec(), &[&series.start]);
            let tape = network.forward(&params, DMatrix::from_vec(3, STEPS, flat), &start);

            let mut d_outputs = DMatrix::zeros(2, STEPS);
            for target in &series.targets {
                let at = (target.output, target.step);
                d_outputs[at] += target.weight * crate::loss::mse(tape.outputs()[at] - target.value).slope;
            }

            let full = network.backward(&params, &tape, &d_outputs);
            let of =
                |series: &Series| loss_and_gradient(&network, &params, &Loss::Mse, &[series.example()]).1;
            assert!(close(&of(&series), &full), "{cell:?}");
            assert!(close(&of(&series.tail(&network, &params, STEPS)), &full), "{cell:?}");
            let errors: Vec<f64> = [9, 5, 1]
                .map(|steps| (of(&series.tail(&network, &params, steps)) - &full).norm() / full.norm())
                .into();
            assert!(errors.iter().all(|error| *error > 1e-9), "{errors:?}");
            assert!(errors[0] < errors[2], "the more steps the nearer: {errors:?}");
        }
    }

    /// The gradient of a truncated window is the finite difference with its start state held fast,
    /// so nothing from before the window is in it.
    #[test]
    fn nothing_before_the_window_is_in_its_gradient() {
        for cell in [CellKind::Rnn, CellKind::Lstm, CellKind::Gru] {
            let (network, params, mut rng) = setup(cell);
            let series = Series::random(&network, STEPS, &mut rng);
            let window = series.tail(&network, &params, 5);
            assert!(!window.targets.is_empty());
            let loss = |params: &DVector<f64>| {
                loss_and_gradient(&network, params, &Loss::Mse, &[window.example()]).0
            };
            let gradient = loss_and_gradient(&network, &params, &Loss::Mse, &[window.example()]).1;
            let numeric = crate::network::tests::differences(&params, loss);
            assert!((&gradient - &numeric).norm() / numeric.norm() < 1e-6, "{cell:?}");
        }
    }
}
