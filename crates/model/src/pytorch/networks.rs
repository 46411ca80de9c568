//! Outputs, final states, loss and gradient of every cell, with one layer to three, with and
//! without skip.
//! It must not know how PyTorch came to them: make_model_goldens.py does, and its constants are
//! repeated here.

use nalgebra::{DMatrix, DVector};

use crate::golden::{Draws, Golden, assert_close};
use crate::loss::Loss;
use crate::network::{Network, NetworkState};
use crate::real::Real;
use crate::spec::{Activation, CellKind, NetworkSpec};
use crate::tbptt::{TrainingExample, TrainingTarget, loss_and_gradient};

const INPUTS: usize = 3;
const HIDDEN: usize = 4;
const STEPS: usize = 5;
const BATCH: usize = 2;
const HORIZONS: usize = 2;

/// In the script's order.
fn cells() -> [(CellKind, Activation, &'static str); 5] {
    [
        (CellKind::Rnn, Activation::Tanh, include_str!("../../tests/golden/rnn_tanh.json")),
        (CellKind::Rnn, Activation::Relu, include_str!("../../tests/golden/rnn_relu.json")),
        (CellKind::Rnn, Activation::Sigmoid, include_str!("../../tests/golden/rnn_sigmoid.json")),
        (CellKind::Lstm, Activation::Tanh, include_str!("../../tests/golden/lstm.json")),
        (CellKind::Gru, Activation::Tanh, include_str!("../../tests/golden/gru.json")),
    ]
}

/// Layers, skip, loss.
fn cases() -> [(usize, bool, Loss); 6] {
    [
        (1, true, Loss::Mse),
        (1, false, Loss::Huber { delta: 1.5 }),
        (2, true, Loss::Pinball { levels: vec![0.1, 0.5, 0.9] }),
        (2, false, Loss::GaussianNll),
        (3, true, Loss::CrossEntropy { classes: 3 }),
        (3, false, Loss::Mse),
    ]
}

/// h of all layers, then c of all layers, as PyTorch keeps them.
fn panels<F: Real>(state: &mut NetworkState<F>) -> Vec<&mut DMatrix<F>> {
    let (h, c): (Vec<_>, Vec<_>) = state.layers.iter_mut().map(|layer| (&mut layer.h, &mut layer.c)).unzip();
    h.into_iter().chain(c).collect()
}

/// The labels of each series: `HORIZONS` a step, about half of them without weight.
fn targets<F: Real>(loss: &Loss, draws: &mut Draws) -> Vec<Vec<TrainingTarget<F>>> {
    let mut label = || match loss {
        Loss::CrossEntropy { classes } => draws.number(*classes) as f64,
        _ => 2.0 * draws.next(),
    };
    let values: Vec<f64> = (0..STEPS * BATCH * HORIZONS).map(|_| label()).collect();

    let mut targets = vec![Vec::new(); BATCH];
    for (at, value) in values.into_iter().enumerate() {
        targets[at / HORIZONS % BATCH].push(TrainingTarget {
            step: at / HORIZONS / BATCH,
            output: at % HORIZONS * loss.width(),
            value: F::of(value),
            weight: F::of(draws.next().max(0.0)),
        });
    }

    targets
}

fn held_to_pytorch<F: Real>(spec: NetworkSpec, loss: &Loss, seed: u64, golden: &Golden, case: usize) {
    let mut draws = Draws(seed);
    let network = Network::new(spec);
    let params = DVector::from_vec(draws.vector::<F>(network.layout().len(), 0.75));
    let inputs = DMatrix::from_vec(INPUTS, STEPS * BATCH, draws.vector::<F>(INPUTS * STEPS * BATCH, 1.0));

    let mut start = NetworkState::zeros(&spec, BATCH);
    for panel in panels(&mut start) {
        let (rows, columns) = panel.shape();
        *panel = DMatrix::from_vec(rows, columns, draws.vector(rows * columns, 0.5));
    }

    let targets = targets::<F>(loss, &mut draws);
    let name = |what: &str| format!("{case}.{what}");
    let close = |values: &[F], what: &str| {
        let label = format!("{:?} {:?} case {case}, {what}", spec.cell, spec.activation);
        assert_close(values, golden.doubles(&name(what)), &label);
    };

    let tape = network.forward(&params, inputs.clone(), &start);
    close(tape.outputs().as_slice(), "outputs");
    let end: Vec<F> =
        panels(&mut tape.end()).iter().flat_map(|panel| panel.iter().copied().collect::<Vec<F>>()).collect();
    close(&end, "end");

    let starts: Vec<Vec<F>> = (0..BATCH).map(|series| start.column(series)).collect();
    let examples = starts.iter().zip(targets).enumerate().map(|(series, (start, targets))| {
        let step = |t: usize| &inputs.as_slice()[(t * BATCH + series) * INPUTS..][..INPUTS];
        TrainingExample { start, inputs: (0..STEPS).map(step).collect(), targets }
    });
    let (value, gradient) = loss_and_gradient(&network, &params, loss, &examples.collect::<Vec<_>>());
    close(&[value], "loss");
    close(gradient.as_slice(), "gradient");
}

#[test]
fn every_cell_is_pytorchs() {
    for (number, (cell, activation, text)) in cells().into_iter().enumerate() {
        let golden = Golden::load(text);
        for (case, (layers, skip, loss)) in cases().into_iter().enumerate() {
            let outputs = HORIZONS * loss.width();
            let spec =
                NetworkSpec { cell, activation, inputs: INPUTS, hidden: HIDDEN, layers, outputs, skip };
            let seed = (100 * number + case) as u64;
            held_to_pytorch::<f64>(spec, &loss, seed, &golden, case);
            held_to_pytorch::<f32>(spec, &loss, seed, &golden, case);
        }
    }
}
