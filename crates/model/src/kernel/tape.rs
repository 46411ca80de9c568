//! The memory of one forward and backward pass: allocated once, grown when a larger window comes, never shrunk.
//! It must not know what the kernels do in it.

use super::floats::Floats;
use super::panels::{BIASES, Panels, padded};
use super::products::Transposed;
use super::window::Window;
use crate::spec::{Cell, NetworkSpec};

/// One layer's part: columns of padded H, column t·B + b for step t of series b.
#[derive(Debug, Clone, Default)]
pub struct LayerTape {
    /// The start states, then h_1 … h_T: (T+1)·B columns.
    pub h: Floats,
    /// As `h`, of an LSTM.
    pub c: Floats,
    /// tanh(c_t), T·B columns, of an LSTM.
    pub tanh_c: Floats,
    /// The activated gates, T·B columns of panels of A vectors; after the backward pass the derivatives by the sums.
    pub gates: Floats,
}

/// A window's inputs, states, outputs and derivatives, and the transposed weights that lead them back.
#[derive(Debug, Clone)]
pub struct Tape {
    spec: NetworkSpec,
    pub(super) window: Window,
    /// Padded I × T·B; what fills up is zero.
    pub(super) inputs: Floats,
    pub(super) layers: Vec<LayerTape>,
    /// O × T·B
    pub(super) outputs: Floats,
    /// O × T·B: by the outputs.
    pub(super) slopes: Floats,
    /// Padded H × T·B each: by a layer's h, and by the layer's below.
    pub(super) d_h: [Floats; 2],
    /// Padded H × B
    pub(super) d_c: Floats,
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

impl Tape {
    pub(super) fn new(spec: NetworkSpec, panels: &Panels) -> Tape {
        Tape {
            window: Window { steps: 0, batch: 0 },
            inputs: Floats::default(),
            layers: vec![LayerTape::default(); spec.layers],
            outputs: Floats::default(),
            slopes: Floats::default(),
            d_h: [Floats::default(), Floats::default()],
            d_c: Floats::default(),
            transposed: TransposedWeights::new(panels),
            spec,
        }
    }

    /// Numbers that a window of `columns` steps of series needs for each of them, about.
    pub fn column_len(spec: &NetworkSpec) -> usize {
        let units = padded(spec.hidden);
        padded(spec.inputs) + spec.layers * (sums(spec) + 3) * units + 2 * units + 2 * spec.outputs
    }

    /// Begins a window of `steps` steps of `batch` series: inputs and start states are zero.
    pub fn begin(&mut self, steps: usize, batch: usize) {
        assert!(steps > 0 && batch > 0, "a window has steps and series");
        self.window = Window { steps, batch };
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
            if self.spec.cell == Cell::Lstm {
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

    pub fn steps(&self) -> usize {
        self.window.steps
    }

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

    /// Sets the state before the first step: h then c of each layer (`spec.state_len()` numbers).
    pub fn set_start(&mut self, series: usize, state: &[f32]) {
        assert_eq!(state.len(), self.spec.state_len(), "state of another network");
        let (hidden, at) = (self.spec.hidden, self.column(0, series) * padded(self.spec.hidden));
        let mut parts = state.chunks_exact(hidden);
        for layer in &mut self.layers {
            let memory = (self.spec.cell == Cell::Lstm).then_some(&mut layer.c);
            for panel in [Some(&mut layer.h), memory].into_iter().flatten() {
                if let Some(part) = parts.next() {
                    panel[at..at + hidden].copy_from_slice(part);
                }
            }
        }
    }

    /// The state after step `step`, in the order of `set_start`.
    pub fn state_after(&self, step: usize, series: usize, state: &mut [f32]) {
        assert_eq!(state.len(), self.spec.state_len(), "state of another network");
        let (hidden, batch) = (self.spec.hidden, self.window.batch);
        let at = (self.column(step, series) + batch) * padded(hidden);
        let mut parts = state.chunks_exact_mut(hidden);
        for layer in &self.layers {
            let memory = (self.spec.cell == Cell::Lstm).then_some(&layer.c);
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
        Cell::Rnn => 1,
        Cell::Lstm | Cell::Gru => 4,
    }
}
