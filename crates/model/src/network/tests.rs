//! Holds the network to finite differences and to PyTorch.
//! It must not know the learner.

use super::*;
use crate::golden::Golden;
use crate::loss;
use crate::spec::{Activation, Cell};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

const KINDS: [(Cell, Activation); 4] = [
    (Cell::Rnn, Activation::Tanh),
    (Cell::Rnn, Activation::Relu),
    (Cell::Lstm, Activation::Tanh),
    (Cell::Gru, Activation::Tanh),
];

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

fn uniform(rows: usize, columns: usize, rng: &mut Pcg64) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |_, _| 2.0 * rng.random::<f64>() - 1.0)
}

fn random_state(spec: &NetworkSpec, batch: usize, rng: &mut Pcg64) -> State<f64> {
    let mut state = State::zeros(spec, batch);
    for layer in &mut state.layers {
        layer.h = uniform(spec.hidden, batch, rng);
        layer.c = uniform(spec.memory(), batch, rng);
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// For every cell, one layer and two, with a random mask on the loss.
    #[test]
    fn gradients_are_finite_differences(seed in any::<u64>(), kind in 0usize..4, layers in 1usize..3) {
        let (cell, activation) = KINDS[kind];
        let spec = NetworkSpec { cell, activation, inputs: 2, hidden: 3, layers, outputs: 2, skip: true };
        let network = Network::new(spec);
        let mut rng = Pcg64::seed_from_u64(seed);
        let (steps, batch) = (5, 2);
        let params = uniform(network.layout().len(), 1, &mut rng).column(0).into_owned();
        let inputs = uniform(2, steps * batch, &mut rng);
        let start = random_state(&spec, batch, &mut rng);
        let labels = uniform(2, steps * batch, &mut rng) * 3.0;
        let mask = labels.map(|_| if rng.random::<bool>() { 1.0 } else { 0.0 });
        let losses = |outputs: &DMatrix<f64>| {
            let error = outputs - &labels;
            (error.map(|e| loss::mse(e).0).dot(&mask), error.map(|e| loss::mse(e).1).component_mul(&mask))
        };
        let loss = |params: &DVector<f64>| {
            losses(network.forward(params, inputs.clone(), &start).outputs()).0
        };
        let tape = network.forward(&params, inputs.clone(), &start);
        if activation == Activation::Relu {
            // A unit that a difference pushes over ReLU's kink has no derivative there to compare with.
            let active = |params: &DVector<f64>| {
                let tape = network.forward(params, inputs.clone(), &start);
                tape.layers.iter().map(|layer| layer.outputs().map(|h| h > 0.0)).collect::<Vec<_>>()
            };
            let now = active(&params);
            let kinks = std::cell::Cell::new(0);
            differences(&params, |moved| {
                kinks.set(kinks.get() + usize::from(active(moved) != now));
                0.0
            });
            prop_assume!(kinks.get() == 0);
        }
        let gradient = network.backward(&params, &tape, &losses(tape.outputs()).1);
        let numeric = differences(&params, loss);
        let error = (&gradient - &numeric).norm() / numeric.norm().max(1e-3);
        prop_assert!(error < 1e-6, "{spec:?}: {error}");
    }
}

fn held_to_pytorch(cell: Cell, activation: Activation, text: &str) {
    let golden = Golden::load(text);
    let spec = NetworkSpec { cell, activation, inputs: 3, hidden: 4, layers: 2, outputs: 2, skip: true };
    let network = Network::new(spec);
    let panel = |rows: usize, name: &str| {
        let values = golden.doubles(name);
        DMatrix::from_column_slice(rows, values.len() / rows, values)
    };
    let layers = |panel: &DMatrix<f64>, layer: usize| panel.columns(3 * layer, 3).into_owned();
    let params = DVector::from_column_slice(golden.doubles("params"));
    let mut start = State::zeros(&spec, 3);
    for (k, layer) in start.layers.iter_mut().enumerate() {
        layer.h = layers(&panel(4, "h0"), k);
        if cell == Cell::Lstm {
            layer.c = layers(&panel(4, "c0"), k);
        }
    }
    let tape = network.forward(&params, panel(3, "inputs"), &start);
    assert!((tape.outputs() - panel(2, "outputs")).amax() < 1e-13);
    for (k, layer) in tape.end().layers.iter().enumerate() {
        assert!((&layer.h - layers(&panel(4, "hn"), k)).amax() < 1e-13);
        if cell == Cell::Lstm {
            assert!((&layer.c - layers(&panel(4, "cn"), k)).amax() < 1e-13);
        }
    }
    let losses = (tape.outputs() - panel(2, "target")).map(|error| loss::huber(error, 1.5));
    let mask = panel(2, "mask");
    assert!((losses.map(|l| l.0).dot(&mask) - golden.doubles("loss")[0]).abs() < 1e-12);
    let gradient = network.backward(&params, &tape, &losses.map(|l| l.1).component_mul(&mask));
    assert!((gradient - DVector::from_column_slice(golden.doubles("gradient"))).amax() < 1e-12);
}

#[test]
fn the_rnns_are_pytorchs() {
    held_to_pytorch(Cell::Rnn, Activation::Tanh, include_str!("../../tests/golden/rnn_tanh.json"));
    held_to_pytorch(Cell::Rnn, Activation::Relu, include_str!("../../tests/golden/rnn_relu.json"));
}

#[test]
fn the_lstm_is_pytorchs() {
    held_to_pytorch(Cell::Lstm, Activation::Tanh, include_str!("../../tests/golden/lstm.json"));
}

#[test]
fn the_gru_is_pytorchs() {
    held_to_pytorch(Cell::Gru, Activation::Tanh, include_str!("../../tests/golden/gru.json"));
}

#[test]
fn a_fresh_network_says_exactly_zero() {
    for (cell, activation) in KINDS {
        let spec = NetworkSpec { cell, activation, inputs: 7, hidden: 9, layers: 2, outputs: 3, skip: true };
        let network = Network::new(spec);
        let mut rng = Pcg64::seed_from_u64(3);
        let start = random_state(&spec, 8, &mut rng);
        let tape = network.forward(&network.initial_params(5), uniform(7, 80, &mut rng), &start);
        assert!(tape.outputs().iter().all(|output| *output == 0.0));
        assert!(tape.end().layers[1].h.norm() > 0.0);
    }
}

#[test]
fn steps_one_by_one_are_the_window() {
    for (cell, activation) in KINDS {
        let spec = NetworkSpec { cell, activation, inputs: 2, hidden: 3, layers: 2, outputs: 2, skip: true };
        let network = Network::new(spec);
        let mut rng = Pcg64::seed_from_u64(4);
        let params = uniform(network.layout().len(), 1, &mut rng).column(0).into_owned();
        let (steps, batch) = (6, 3);
        let inputs = uniform(2, steps * batch, &mut rng);
        let mut state = random_state(&spec, batch, &mut rng);
        let tape = network.forward(&params, inputs.clone(), &state);
        for step in 0..steps {
            let x = inputs.columns(step * batch, batch).into_owned();
            let (outputs, next) = network.step(&params, &x, &state);
            assert!((outputs - tape.outputs().columns(step * batch, batch)).amax() < 1e-14);
            state = next;
        }
        let columns: Vec<Vec<f64>> = (0..batch).map(|b| state.column(b)).collect();
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        assert_eq!(State::from_columns(&spec, &columns), state);
    }
}
