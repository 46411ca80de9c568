//! A network's kernels as the crate calls them: compiled for each instruction set, chosen once for
//! this CPU.
//! It must not know equations, nor the order of what happens within a pass.

use nalgebra::DVector;
use pulp::Arch;

use super::floats::AlignedFloats;
use super::instruction_set::InstructionSet;
use super::panels::Panels;
use super::pass::{Pass, Prepare};
use super::tape::KernelTape;
use super::update::{KernelUpdate, Norm};
use crate::spec::NetworkSpec;

/// A network's kernels. Parameters, gradients and moments are vectors in the panels' order, `len()`
/// long.
#[derive(Debug, Clone)]
pub struct KernelEngine {
    spec: NetworkSpec,
    panels: Panels,
    arch: Arch,
}

impl KernelEngine {
    /// The kernels of a network of `spec`, with the best instructions that this CPU has.
    pub fn new(spec: NetworkSpec) -> KernelEngine {
        KernelEngine { panels: Panels::new(&spec), spec, arch: Arch::new() }
    }

    /// The kernels with the instructions of `set`, for comparisons. None if the CPU has not got
    /// them.
    pub fn with_instructions(spec: NetworkSpec, set: InstructionSet) -> Option<KernelEngine> {
        Some(KernelEngine { arch: set.arch()?, ..KernelEngine::new(spec) })
    }

    /// The shape of the network.
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// Elements of a parameter vector in the panels' order.
    pub fn len(&self) -> usize {
        self.panels.len()
    }

    /// False: every network has parameters.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// From PyTorch's order (`ParameterLayout`) to the panels'.
    pub fn pack(&self, params: &DVector<f32>) -> AlignedFloats {
        self.panels.pack(params)
    }

    /// The inverse of `pack`.
    pub fn unpack(&self, packed: &[f32]) -> DVector<f32> {
        self.panels.unpack(packed)
    }

    /// Adds `values`, in PyTorch's order, to `sum`, in the panels'.
    pub fn add_packed(&self, values: &DVector<f32>, sum: &mut [f32]) {
        self.panels.add_packed(values, sum);
    }

    /// The memory that windows of this network need.
    pub fn tape(&self) -> KernelTape {
        KernelTape::new(self.spec, &self.panels)
    }

    /// Runs the window that `tape` has begun forwards, and leaves outputs and states there.
    pub fn forward(&self, params: &[f32], tape: &mut KernelTape) {
        assert_eq!(params.len(), self.len(), "parameters of another network");
        self.arch.dispatch(Pass { spec: &self.spec, panels: &self.panels, params, tape, gradient: None });
    }

    /// Transposes the weights in `params` for the backward passes that follow.
    pub fn prepare_backward(&self, params: &[f32], tape: &mut KernelTape) {
        self.arch.dispatch(Prepare { panels: &self.panels, params, tape });
    }

    /// Adds the gradient by the parameters to `gradient`, from the slopes in `tape`. The tape must
    /// have run forwards with the parameters of the last `prepare_backward`. The start state counts
    /// as a constant.
    pub fn backward(&self, params: &[f32], tape: &mut KernelTape, gradient: &mut [f32]) {
        assert_eq!(gradient.len(), self.len(), "a gradient of another network");
        tape.begin_backward();
        self.arch.dispatch(Pass {
            spec: &self.spec,
            panels: &self.panels,
            params,
            tape,
            gradient: Some(gradient),
        });
    }

    /// Makes one update of the parameters, as `KernelUpdate` says. Returns whether every new
    /// parameter and average is finite.
    pub fn update(&self, step: KernelUpdate<'_>) -> bool {
        self.arch.dispatch(step)
    }

    /// The norm of a gradient: the root of its sum of squares, in f32.
    pub fn norm(&self, gradient: &[f32]) -> f32 {
        self.arch.dispatch(Norm(gradient))
    }
}
