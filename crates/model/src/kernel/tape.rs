//! The memory of one forward and backward pass: allocated once, grown when a larger window comes,
//! never shrunk.
//! It must not know what the kernels do in it.

use super::floats::AlignedFloats;
use super::panels::{BIASES, Panels, padded};
use super::products::Transposed;
use super::window::WindowSize;
use crate::spec::{CellKind, NetworkSpec};

/// One layer's part: columns of padded H, column t·B + b for step t of series b.
#[derive(Debug, Clone, Default)]
pub struct LayerBuffers {
    /// The start states, then h_1 … h_T: (T+1)·B columns.
    pub h: AlignedFloats,
    /// As `h`, of an LSTM.
    pub c: AlignedFloats,
    /// tanh(c_t), T·B columns, of an LSTM.
    pub tanh_c: AlignedFloats,
    /// The activated gates, T·B columns of panels of A vectors; after the backward pass the
    /// derivatives by the sums.
    pub gates: AlignedFloats,
}

/// A window's inputs, states, outputs and derivatives, and the transposed weights that lead them
/// back.
#[derive(Debug, Clone)]
pub struct KernelTape {
    spec: NetworkSpec,
    pub(super) window: WindowSize,
    /// Padded I × T·B; what fills up is zero.
    pub(super) inputs: AlignedFloats,
    pub(super) layers: Vec<LayerBuffers>,
    /// O × T·B
    pub(super) outputs: AlignedFloats,
    /// O × T·B: by the outputs.
    pub(super) slopes: AlignedFloats,
    /// Padded H × T·B each: by a layer's h, and by the layer's below.
    pub(super) d_h: [AlignedFloats; 2],
    /// Padded H × B
    pub(super) d_c: AlignedFloats,
    pub(super) transposed: TransposedWeights,
}

/// W transposed where the derivative goes through it.
#[derive(Debug, Clone)]
pub(super) struct TransposedWeights {
    /// W_hh of each layer.
    pub hidden: Vec<Transposed>,
    /// W_ih of each layer but the first, whose inputs are data.
    pub inputs: Vec<Transposed>,
}

impl TransposedWeights {
    fn new(panels: &Panels) -> TransposedWeights {
        TransposedWeights {
            hidden: panels.layers.iter().map(|block| Transposed::new(block, block.units)).collect(),
            inputs: panels.layers[1..].iter().map(|block| Transposed::new(block, block.inputs)).collect(),
        }
    }

    /// Takes the weights of `params`.
    #[inline(always)]
    pub fn fill(&mut self, panels: &Panels, params: &[f32]) {
        for (w, block) in self.hidden.iter_mut().zip(&panels.layers) {
            w.fill(block, params, BIASES + block.inputs, block.units);
        }
        for (w, block) in self.inputs.iter_mut().zip(&panels.layers[1..]) {
            w.fill(block, params, BIASES, block.inputs);
        }
    }
}

impl KernelTape {
    pub(super) fn new(spec: NetworkSpec, panels: &Panels) -> KernelTape {
        KernelTape {
            window: WindowSize { steps: 0, batch: 0 },
            inputs: AlignedFloats::default(),
            layers: vec![LayerBuffers::default(); spec.layers],
            outputs: AlignedFloats::default(),
            slopes: AlignedFloats::default(),
            d_h: [AlignedFloats::default(), AlignedFloats::default()],
            d_c: AlignedFloats::default(),
            transposed: TransposedWeights::new(panels),
            spec,
        }
    }

    /// About how many numbers a window needs for each step of each series.
    pub fn column_len(spec: &NetworkSpec) -> usize {
        let units = padded(spec.hidden);
        padded(spec.inputs) + spec.layers * (sums(spec) + 3) * units + 2 * units + 2 * spec.outputs
    }

    /// Begins a window of `steps` steps of `batch` series: inputs and start states are zero.
    pub fn begin(&mut self, steps: usize, batch: usize) {
        assert!(steps > 0 && batch > 0, "a window has steps and series");

        self.window = WindowSize { steps, batch };
        let (columns, units) = (steps * batch, padded(self.spec.hidden));
        let (inputs, outputs) = (padded(self.spec.inputs) * columns, self.spec.outputs * columns);
        self.inputs.reserve(inputs);
        self.inputs[..inputs].fill(0.0);
        self.outputs.reserve(outputs);
        self.slopes.reserve(outputs);
        self.slopes[..outputs].fill(0.0);

        for layer in &mut self.layers {
            layer.h.reserve((columns + batch) * units);
            layer.h[..batch * units].fill(0.0);
            layer.gates.reserve(columns * sums(&self.spec) * units);
            if self.spec.cell == CellKind::Lstm {
                layer.c.reserve((columns + batch) * units);
                layer.c[..batch * units].fill(0.0);
                layer.tanh_c.reserve(columns * units);
            }
        }
    }

    /// Room for the backward pass of the window begun.
    pub(super) fn begin_backward(&mut self) {
        let units = padded(self.spec.hidden);
        let columns = self.window.columns();
        self.d_h.iter_mut().for_each(|d_h| d_h.reserve(columns * units));
        self.d_c.reserve(self.window.batch * units);
    }

    /// Steps of the window begun, T.
    pub fn steps(&self) -> usize {
        self.window.steps
    }

    /// Series of the window begun, B.
    pub fn batch(&self) -> usize {
        self.window.batch
    }

    fn column(&self, step: usize, series: usize) -> usize {
        assert!(step < self.window.steps && series < self.window.batch, "step {step} of series {series}");
        step * self.window.batch + series
    }

    /// The features of a step, I of them, zero until written.
    pub fn input_mut(&mut self, step: usize, series: usize) -> &mut [f32] {
        let at = self.column(step, series) * padded(self.spec.inputs);
        &mut self.inputs[at..at + self.spec.inputs]
    }

    /// The features of a step.
    pub(crate) fn input(&self, step: usize, series: usize) -> &[f32] {
        let at = self.column(step, series) * padded(self.spec.inputs);
        &self.inputs[at..at + self.spec.inputs]
    }

    /// Sets the state before the first step: h then c of each layer (`spec.state_len()` numbers).
    pub fn set_start(&mut self, series: usize, state: &[f32]) {
        assert_eq!(state.len(), self.spec.state_len(), "state of another network");
        self.start_with(series, state.iter().copied());
    }

    /// As `set_start`, one number after the other.
    pub fn start_with(&mut self, series: usize, state: impl Iterator<Item = f32>) {
        self.set_state(self.column(0, series), state);
    }

    /// The state before the first step, in the order of `set_start`.
    pub(crate) fn start(&self, series: usize, state: &mut [f32]) {
        self.state(self.column(0, series), state);
    }

    /// Sets the state after the last step.
    pub(crate) fn set_end(&mut self, series: usize, state: &[f32]) {
        assert_eq!(state.len(), self.spec.state_len(), "state of another network");
        self.set_state(self.window.columns() + self.column(0, series), state.iter().copied());
    }

    /// The state after the last step, in the order of `set_start`.
    pub fn end(&self, series: usize, state: &mut [f32]) {
        self.state(self.window.columns() + self.column(0, series), state);
    }

    /// Sets column `at` of each h and c.
    fn set_state(&mut self, at: usize, mut state: impl Iterator<Item = f32>) {
        let hidden = self.spec.hidden;
        let at = at * padded(hidden);

        for layer in &mut self.layers {
            let memory = (self.spec.cell == CellKind::Lstm).then_some(&mut layer.c);
            for panel in [Some(&mut layer.h), memory].into_iter().flatten() {
                let part = &mut panel[at..at + hidden];
                part.iter_mut().zip(state.by_ref()).for_each(|(to, number)| *to = number);
            }
        }
    }

    /// Column `at` of each h and c.
    fn state(&self, at: usize, state: &mut [f32]) {
        assert_eq!(state.len(), self.spec.state_len(), "state of another network");

        let hidden = self.spec.hidden;
        let at = at * padded(hidden);

        let mut parts = state.chunks_exact_mut(hidden);
        for layer in &self.layers {
            let memory = (self.spec.cell == CellKind::Lstm).then_some(&layer.c);
            for panel in [Some(&layer.h), memory].into_iter().flatten() {
                if let Some(part) = parts.next() {
                    part.copy_from_slice(&panel[at..at + hidden]);
                }
            }
        }
    }

    /// What a step gave, O numbers.
    pub fn output(&self, step: usize, series: usize) -> &[f32] {
        let at = self.column(step, series) * self.spec.outputs;
        &self.outputs[at..at + self.spec.outputs]
    }

    /// Sets what a step gave.
    pub(crate) fn set_output(&mut self, step: usize, series: usize, outputs: &[f32]) {
        let at = self.column(step, series) * self.spec.outputs;
        self.outputs[at..at + self.spec.outputs].copy_from_slice(outputs);
    }

    /// The derivative of the loss by a step's outputs.
    pub(crate) fn slope(&self, step: usize, series: usize) -> &[f32] {
        let at = self.column(step, series) * self.spec.outputs;
        &self.slopes[at..at + self.spec.outputs]
    }

    /// A step's outputs, and the derivative of the loss by them to add to: zero until then.
    pub fn output_and_slope_mut(&mut self, step: usize, series: usize) -> (&[f32], &mut [f32]) {
        let at = self.column(step, series) * self.spec.outputs;
        let range = at..at + self.spec.outputs;
        (&self.outputs[range.clone()], &mut self.slopes[range])
    }
}

/// Vectors of sums that a cell has for a vector of units.
pub(super) fn sums(spec: &NetworkSpec) -> usize {
    match spec.cell {
        CellKind::Rnn => 1,
        CellKind::Lstm | CellKind::Gru => 4,
    }
}
