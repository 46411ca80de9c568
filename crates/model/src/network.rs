//! The whole network: stacked recurrent layers, a linear head on the top one, a linear skip from
//! the input.
//! It must not know series, labels or losses. The parameters are an argument, because averaged ones
//! forecast too.

use nalgebra::{DMatrix, DMatrixView, DVector};

use super::cell::{self, LayerState, LayerTape};
use super::head;
use super::real::Real;
use super::spec::{NetworkSpec, ParameterLayout, initial};
use super::weights::Weights;

/// A network without its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    spec: NetworkSpec,
    layout: ParameterLayout,
}

/// What a batch of B series carries from step to step, the lowest layer first.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkState<F: Real> {
    /// One a recurrent layer, L.
    pub layers: Vec<LayerState<F>>,
}

impl<F: Real> NetworkState<F> {
    /// The state before any step: zero.
    pub fn zeros(spec: &NetworkSpec, batch: usize) -> NetworkState<F> {
        let layer =
            LayerState { h: DMatrix::zeros(spec.hidden, batch), c: DMatrix::zeros(spec.memory(), batch) };
        NetworkState { layers: vec![layer; spec.layers] }
    }

    /// A state of one series for each of `columns`. Each slice is what `column` gives:
    /// `spec.state_len()` elements.
    ///
    /// # Panics
    ///
    /// If a slice has another length.
    pub fn from_columns(spec: &NetworkSpec, columns: &[&[F]]) -> NetworkState<F> {
        let mut state = NetworkState::zeros(spec, columns.len());
        for (b, column) in columns.iter().enumerate() {
            assert_eq!(column.len(), spec.state_len(), "state of another network");
            let mut rest = *column;
            for panel in state.layers.iter_mut().flat_map(|layer| [&mut layer.h, &mut layer.c]) {
                let (values, others) = rest.split_at(panel.nrows());
                panel.column_mut(b).copy_from_slice(values);
                rest = others;
            }
        }

        state
    }

    /// The state of series `b`: h then c of each layer.
    pub fn column(&self, b: usize) -> Vec<F> {
        let panels = self.layers.iter().flat_map(|layer| [&layer.h, &layer.c]);
        panels.flat_map(|panel| panel.column(b).iter().copied().collect::<Vec<F>>()).collect()
    }

    /// Series in it, B.
    pub fn batch(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.h.ncols())
    }
}

/// A forward pass over a window, kept for `backward`.
#[derive(Debug, Clone)]
pub struct NetworkTape<F: Real> {
    /// I × T·B
    inputs: DMatrix<F>,
    layers: Vec<LayerTape<F>>,
    /// O × T·B
    outputs: DMatrix<F>,
}

impl<F: Real> NetworkTape<F> {
    /// Of no pass.
    pub(super) fn empty() -> NetworkTape<F> {
        NetworkTape { inputs: DMatrix::zeros(0, 0), layers: Vec::new(), outputs: DMatrix::zeros(0, 0) }
    }

    /// About how many numbers the passes need for each step of each series.
    pub(super) fn column_len(spec: &NetworkSpec) -> usize {
        let sums = 2 * spec.gates() * spec.hidden;
        let layer = sums + spec.hidden + spec.memory();
        spec.inputs + 2 * spec.outputs + spec.layers * layer + sums + 2 * spec.hidden
    }

    /// The outputs of all steps, O × T·B: column t·B + b is step t of series b.
    pub fn outputs(&self) -> &DMatrix<F> {
        &self.outputs
    }

    /// The state after the last step.
    pub fn end(&self) -> NetworkState<F> {
        NetworkState { layers: self.layers.iter().map(LayerTape::end).collect() }
    }

    fn layer_inputs(&self, layer: usize) -> DMatrixView<'_, F> {
        if layer == 0 { self.inputs.as_view() } else { self.layers[layer - 1].outputs() }
    }
}

impl Network {
    /// A network of `spec`.
    ///
    /// # Panics
    /// If one of its sizes is 0.
    pub fn new(spec: NetworkSpec) -> Network {
        let sizes = [spec.inputs, spec.hidden, spec.layers, spec.outputs];
        assert!(sizes.iter().all(|size| *size > 0), "an empty network: {spec:?}");
        Network { layout: ParameterLayout::new(&spec), spec }
    }

    /// The shape that it was made with.
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// Where each parameter lies in the flat vector.
    pub fn layout(&self) -> &ParameterLayout {
        &self.layout
    }

    /// Fresh parameters, `layout().len()` of them: outputs are exactly zero until the first update.
    pub fn initial_params<F: Real>(&self, seed: u64) -> DVector<F> {
        initial(&self.spec, &self.layout, seed)
    }

    /// One step of B series: `x` (I × B) gives the outputs (O × B) and the next state.
    pub fn step<F: Real>(
        &self,
        params: &DVector<F>,
        x: &DMatrix<F>,
        state: &NetworkState<F>,
    ) -> (DMatrix<F>, NetworkState<F>) {
        assert_eq!(x.ncols(), state.batch(), "one column a series");
        let tape = self.forward(params, x.clone(), state);
        let end = tape.end();
        (tape.outputs, end)
    }

    /// Runs T steps of B series from `initial`, which says B. `inputs` is I × T·B: column t·B + b
    /// is step t of series b.
    ///
    /// # Panics
    ///
    /// If parameters, inputs or state are of another network.
    pub fn forward<F: Real>(
        &self,
        params: &DVector<F>,
        inputs: DMatrix<F>,
        initial: &NetworkState<F>,
    ) -> NetworkTape<F> {
        let batch = initial.batch();
        assert_eq!(inputs.nrows(), self.spec.inputs, "features of another network");
        assert!(batch > 0 && inputs.ncols().is_multiple_of(batch), "whole steps of {batch} series");

        let weights = Weights::unpack(&self.layout, self.spec.layers, params);

        let mut tape = NetworkTape { inputs, layers: Vec::new(), outputs: DMatrix::zeros(0, 0) };
        for (k, layer) in weights.layers.iter().enumerate() {
            let layer = cell::forward(&self.spec, layer, tape.layer_inputs(k), &initial.layers[k]);
            tape.layers.push(layer);
        }

        tape.outputs = head::forward(&weights.head, tape.layer_inputs(self.spec.layers), &tape.inputs);
        tape
    }

    /// The gradient by the parameters of a loss whose derivative by the outputs is `d_outputs` (O ×
    /// T·B, zero where no label is). Backpropagation stops at the window's start: the initial state
    /// counts as a constant.
    pub fn backward<F: Real>(
        &self,
        params: &DVector<F>,
        tape: &NetworkTape<F>,
        d_outputs: &DMatrix<F>,
    ) -> DVector<F> {
        assert_eq!(d_outputs.shape(), tape.outputs.shape(), "one derivative an output");

        let weights = Weights::unpack(&self.layout, self.spec.layers, params);
        let top = tape.layer_inputs(self.spec.layers);
        let (head, mut d_h) = head::backward(&weights.head, top, &tape.inputs, d_outputs);

        let mut layers = Vec::with_capacity(self.spec.layers);
        for (k, layer) in weights.layers.iter().enumerate().rev() {
            let gradient = cell::backward(&self.spec, layer, tape.layer_inputs(k), &tape.layers[k], &d_h);
            if k > 0 {
                d_h = layer.w_ih.transpose() * gradient.d_input;
            }
            layers.push(gradient.weights);
        }

        layers.reverse();
        Weights { layers, head }.pack()
    }
}

#[cfg(test)]
pub(super) mod tests;
