//! A recurrent layer over a window: the loop through time and its matrix products, forwards and
//! backwards.
//! It must not know the equations inside a step: each cell's file has its own.

use nalgebra::{DMatrix, DMatrixView};

use super::gru::Gru;
use super::lstm::Lstm;
use super::recurrence::{BackwardStep, ForwardStep, Recurrence};
use super::rnn::Rnn;
use crate::real::Real;
use crate::spec::{CellKind, NetworkSpec};
use crate::weights::{LayerWeights, affine};

/// What one layer carries from step to step: column b belongs to series b.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerState<F: Real> {
    /// H × B
    pub h: DMatrix<F>,
    /// H × B for an LSTM, 0 × B for the other cells.
    pub c: DMatrix<F>,
}

/// What the backward pass needs of a forward pass over T steps of B series.
#[derive(Debug, Clone)]
pub struct LayerTape<F: Real> {
    /// H × (T+1)·B: the start state, then the state after each step.
    h: DMatrix<F>,
    /// As `h`; no rows without cell state.
    c: DMatrix<F>,
    /// G·H × T·B: activated gates.
    gates: DMatrix<F>,
    /// G·H × T·B: W_hh h_{t-1} + b_hh.
    hidden: DMatrix<F>,
    batch: usize,
}

impl<F: Real> LayerTape<F> {
    /// h_1 … h_T, H × T·B.
    pub fn outputs(&self) -> DMatrixView<'_, F> {
        self.h.columns(self.batch, self.h.ncols() - self.batch)
    }

    /// The state after the last step.
    pub fn end(&self) -> LayerState<F> {
        let last = self.h.ncols() - self.batch;
        LayerState {
            h: self.h.columns(last, self.batch).into_owned(),
            c: self.c.columns(last, self.batch).into_owned(),
        }
    }
}

/// The backward pass of one layer.
pub struct LayerGradient<F: Real> {
    /// By the layer's weights.
    pub weights: LayerWeights<F>,
    /// By W_ih x_t + b_ih of every step, G·H × T·B. The derivative by the inputs is W_ihᵀ times it.
    pub d_input: DMatrix<F>,
}

/// Runs a layer over `inputs` (I × T·B) from `start`.
pub fn forward<F: Real>(
    spec: &NetworkSpec,
    weights: &LayerWeights<F>,
    inputs: DMatrixView<'_, F>,
    start: &LayerState<F>,
) -> LayerTape<F> {
    match spec.cell {
        CellKind::Rnn => forward_with(&Rnn { activation: spec.activation }, weights, inputs, start),
        CellKind::Lstm => forward_with(&Lstm, weights, inputs, start),
        CellKind::Gru => forward_with(&Gru, weights, inputs, start),
    }
}

/// Backpropagation through the taped steps: `d_outputs` is the derivative by h_1 … h_T from above
/// (H × T·B). The start state counts as a constant.
pub fn backward<F: Real>(
    spec: &NetworkSpec,
    weights: &LayerWeights<F>,
    inputs: DMatrixView<'_, F>,
    tape: &LayerTape<F>,
    d_outputs: &DMatrix<F>,
) -> LayerGradient<F> {
    match spec.cell {
        CellKind::Rnn => {
            backward_with(&Rnn { activation: spec.activation }, weights, inputs, tape, d_outputs)
        }
        CellKind::Lstm => backward_with(&Lstm, weights, inputs, tape, d_outputs),
        CellKind::Gru => backward_with(&Gru, weights, inputs, tape, d_outputs),
    }
}

fn forward_with<F: Real>(
    cell: &impl Recurrence<F>,
    weights: &LayerWeights<F>,
    inputs: DMatrixView<'_, F>,
    start: &LayerState<F>,
) -> LayerTape<F> {
    let (batch, columns) = (start.h.ncols(), inputs.ncols());
    let mut tape = LayerTape {
        h: begin(&start.h, columns),
        c: begin(&start.c, columns),
        // The inputs of all steps are known: one product for the window.
        gates: affine(&weights.w_ih, inputs, &weights.b_ih),
        hidden: DMatrix::zeros(weights.w_hh.nrows(), columns),
        batch,
    };

    for now in (0..columns).step_by(batch) {
        let product = affine(&weights.w_hh, tape.h.columns(now, batch), &weights.b_hh);
        tape.hidden.columns_mut(now, batch).copy_from(&product);
        for at in now..now + batch {
            let (h_before, h) = before_and_after(&mut tape.h, at, batch);
            let (c_before, c) = before_and_after(&mut tape.c, at, batch);
            let gates = column_mut(&mut tape.gates, at);
            cell.forward(ForwardStep { gates, hidden: column(&tape.hidden, at), h_before, c_before, h, c });
        }
    }

    tape
}

fn backward_with<F: Real>(
    cell: &impl Recurrence<F>,
    weights: &LayerWeights<F>,
    inputs: DMatrixView<'_, F>,
    tape: &LayerTape<F>,
    d_outputs: &DMatrix<F>,
) -> LayerGradient<F> {
    let (columns, batch) = (d_outputs.ncols(), tape.batch);
    let w_hh_transposed = weights.w_hh.transpose();

    let mut d_input = DMatrix::zeros(tape.gates.nrows(), columns);
    let mut d_hidden = DMatrix::zeros(tape.gates.nrows(), columns);
    let mut d_h_carried = DMatrix::zeros(tape.h.nrows(), batch);
    let mut d_c = DMatrix::zeros(tape.c.nrows(), batch);
    for now in (0..columns).step_by(batch).rev() {
        let d_h = d_h_carried + d_outputs.columns(now, batch);
        d_h_carried = DMatrix::zeros(tape.h.nrows(), batch);

        for series in 0..batch {
            let at = now + series;
            cell.backward(BackwardStep {
                gates: column(&tape.gates, at),
                hidden: column(&tape.hidden, at),
                h_before: column(&tape.h, at),
                c_before: column(&tape.c, at),
                h: column(&tape.h, at + batch),
                c: column(&tape.c, at + batch),
                d_h: column(&d_h, series),
                d_c: column_mut(&mut d_c, series),
                d_input: column_mut(&mut d_input, at),
                d_hidden: column_mut(&mut d_hidden, at),
                d_h_before: column_mut(&mut d_h_carried, series),
            });
        }

        d_h_carried.gemm(F::one(), &w_hh_transposed, &d_hidden.columns(now, batch), F::one());
    }

    let h_before = tape.h.columns(0, columns);
    LayerGradient {
        // Sums over all steps and series: one product each.
        weights: LayerWeights {
            w_ih: &d_input * inputs.transpose(),
            w_hh: &d_hidden * h_before.transpose(),
            b_ih: d_input.column_sum(),
            b_hh: d_hidden.column_sum(),
        },
        d_input,
    }
}

/// `start` with room for `columns` more.
fn begin<F: Real>(start: &DMatrix<F>, columns: usize) -> DMatrix<F> {
    let mut panel = DMatrix::zeros(start.nrows(), start.ncols() + columns);
    panel.columns_mut(0, start.ncols()).copy_from(start);
    panel
}

fn column<F: Real>(panel: &DMatrix<F>, at: usize) -> &[F] {
    &panel.as_slice()[at * panel.nrows()..][..panel.nrows()]
}

fn column_mut<F: Real>(panel: &mut DMatrix<F>, at: usize) -> &mut [F] {
    let rows = panel.nrows();
    &mut panel.as_mut_slice()[at * rows..][..rows]
}

/// Columns `at` and `at + batch`: a series' state before a step and after it.
fn before_and_after<F: Real>(panel: &mut DMatrix<F>, at: usize, batch: usize) -> (&[F], &mut [F]) {
    let rows = panel.nrows();
    let (past, future) = panel.as_mut_slice().split_at_mut((at + batch) * rows);
    (&past[at * rows..][..rows], &mut future[..rows])
}
