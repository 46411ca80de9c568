//! What runs a network's passes: the fused kernels, or the plain network in their place. All else
//! is the same for both: the tape that is filled and read, the order of parameters, the optimiser.
//! It must not know series, labels or losses.

use std::ops::{Deref, DerefMut};

use nalgebra::{DMatrix, DVector};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kernel::{AlignedFloats, KernelEngine, KernelTape, KernelUpdate};
use super::network::{Network, NetworkState, NetworkTape};
use super::spec::NetworkSpec;

/// What computes a network's forward and backward passes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all(deserialize = "snake_case"))]
pub enum Backend {
    /// The fused kernels: the same bits on every CPU.
    #[default]
    Fused,
    /// The plain network on nalgebra: one line of code for one line of the equations. Its bits are
    /// those of one kind of CPU.
    Nalgebra,
}

impl Backend {
    /// Both.
    pub const ALL: [Backend; 2] = [Backend::Fused, Backend::Nalgebra];

    /// Its word in pipeline files.
    pub const fn word(self) -> &'static str {
        match self {
            Backend::Fused => "fused",
            Backend::Nalgebra => "nalgebra",
        }
    }

    /// Whether it is the one that runs unless told otherwise.
    pub fn is_default(&self) -> bool {
        *self == Backend::default()
    }
}

/// A network's passes by one backend. Parameters and gradients are in the order of the kernels'
/// panels.
#[derive(Debug, Clone)]
pub struct Engine {
    network: Network,
    kernels: KernelEngine,
    backend: Backend,
}

/// The memory of an engine's passes. Inputs, states, outputs and slopes lie where the kernels have
/// them.
#[derive(Debug, Clone)]
pub struct EngineTape {
    window: KernelTape,
    /// What the plain network's forward pass left for its backward pass.
    plain: NetworkTape<f32>,
}

impl Deref for EngineTape {
    type Target = KernelTape;

    fn deref(&self) -> &KernelTape {
        &self.window
    }
}

impl DerefMut for EngineTape {
    fn deref_mut(&mut self) -> &mut KernelTape {
        &mut self.window
    }
}

impl Engine {
    /// The passes of a network of `spec`.
    ///
    /// # Panics
    /// If one of its sizes is 0.
    pub fn new(spec: NetworkSpec, backend: Backend) -> Engine {
        Engine { network: Network::new(spec), kernels: KernelEngine::new(spec), backend }
    }

    /// The network without its weights.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The shape of the network.
    pub fn spec(&self) -> &NetworkSpec {
        self.network.spec()
    }

    /// Elements of a parameter vector in the panels' order.
    pub fn len(&self) -> usize {
        self.kernels.len()
    }

    /// From PyTorch's order to the panels'.
    pub fn pack(&self, params: &DVector<f32>) -> AlignedFloats {
        self.kernels.pack(params)
    }

    /// The inverse of `pack`.
    pub fn unpack(&self, packed: &[f32]) -> DVector<f32> {
        self.kernels.unpack(packed)
    }

    /// The memory that windows of this network need.
    pub fn tape(&self) -> EngineTape {
        EngineTape { window: self.kernels.tape(), plain: NetworkTape::empty() }
    }

    /// About how many numbers a window needs for each step of each series.
    pub fn column_len(&self) -> usize {
        let fused = KernelTape::column_len(self.spec());
        match self.backend {
            Backend::Fused => fused,
            Backend::Nalgebra => fused + NetworkTape::<f32>::column_len(self.spec()),
        }
    }

    /// Runs the window that `tape` has begun forwards, and leaves outputs and end states there.
    pub fn forward(&self, params: &[f32], tape: &mut EngineTape) {
        match self.backend {
            Backend::Fused => self.kernels.forward(params, tape),
            Backend::Nalgebra => self.plain_forward(params, tape),
        }
    }

    /// What the kernels do once before the backward passes under `params`.
    pub fn prepare_backward(&self, params: &[f32], tape: &mut EngineTape) {
        match self.backend {
            Backend::Fused => self.kernels.prepare_backward(params, tape),
            Backend::Nalgebra => {}
        }
    }

    /// Adds the gradient by the parameters to `gradient`, from the slopes in `tape`, which has run
    /// forwards. The start state counts as a constant.
    pub fn backward(&self, params: &[f32], tape: &mut EngineTape, gradient: &mut [f32]) {
        match self.backend {
            Backend::Fused => self.kernels.backward(params, tape, gradient),
            Backend::Nalgebra => self.plain_backward(params, tape, gradient),
        }
    }

    /// Makes one update of the parameters. Returns whether every new parameter and average is
    /// finite.
    pub fn update(&self, step: KernelUpdate<'_>) -> bool {
        self.kernels.update(step)
    }

    /// The norm of a gradient.
    pub fn norm(&self, gradient: &[f32]) -> f32 {
        self.kernels.norm(gradient)
    }

    fn plain_forward(&self, params: &[f32], tape: &mut EngineTape) {
        let EngineTape { window, plain } = tape;
        let (spec, batch) = (self.spec(), window.batch());

        let mut inputs = DMatrix::zeros(spec.inputs, window.steps() * batch);
        for (at, mut column) in inputs.column_iter_mut().enumerate() {
            column.copy_from_slice(window.input(at / batch, at % batch));
        }
        let mut starts = vec![vec![0.0; spec.state_len()]; batch];
        starts.iter_mut().enumerate().for_each(|(b, start)| window.start(b, start));
        let starts: Vec<&[f32]> = starts.iter().map(Vec::as_slice).collect();
        let start = NetworkState::from_columns(spec, &starts);

        *plain = self.network.forward(&self.unpack(params), inputs, &start);
        for (at, outputs) in plain.outputs().as_slice().chunks_exact(spec.outputs).enumerate() {
            window.set_output(at / batch, at % batch, outputs);
        }
        let end = plain.end();
        (0..batch).for_each(|b| window.set_end(b, &end.column(b)));
    }

    fn plain_backward(&self, params: &[f32], tape: &EngineTape, gradient: &mut [f32]) {
        let EngineTape { window, plain } = tape;
        let batch = window.batch();

        let mut slopes = DMatrix::zeros(self.spec().outputs, window.steps() * batch);
        for (at, mut column) in slopes.column_iter_mut().enumerate() {
            column.copy_from_slice(window.slope(at / batch, at % batch));
        }
        let by_params = self.network.backward(&self.unpack(params), plain, &slopes);
        self.kernels.add_packed(&by_params, gradient);
    }
}

#[cfg(test)]
mod tests;
