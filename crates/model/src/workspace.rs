//! The memory that learners of one template work in, one after another: it holds nothing between
//! two calls.
//! It must not know what was learned.

use super::engine::{Engine, EngineTape};
use super::kernel::{AlignedFloats, KernelTape};
use super::train_state::TrainState;

/// About how many numbers one tape holds. With the weights it stays in a core's second cache (1
/// MB).
const TAPE_LEN: usize = 160_000;
/// The least and the most series on one tape, whatever the window. The least fills whole tiles.
const MIN_BATCH: usize = 8;
const MAX_BATCH: usize = 64;

/// Memory for predictions and updates, for any number of learners of one template.
#[derive(Debug, Clone)]
pub struct LearnerWorkspace {
    pub(super) tape: EngineTape,
    pub(super) gradient: AlignedFloats,
    /// The weights after the update, until they are found good.
    pub(super) next: TrainState,
    /// The numbers of the replay pool's windows, the drawn ones first.
    pub(super) order: Vec<usize>,
    pub(super) prediction: LearnerPrediction,
}

impl LearnerWorkspace {
    pub(super) fn new(engine: &Engine) -> LearnerWorkspace {
        let outputs = engine.spec().outputs;
        LearnerWorkspace {
            tape: engine.tape(),
            gradient: AlignedFloats::zeros(engine.len()),
            next: TrainState::new(AlignedFloats::zeros(engine.len())),
            order: Vec::new(),
            prediction: LearnerPrediction { outputs, raw: Vec::new(), ema: Vec::new() },
        }
    }
}

/// Series on one tape for windows of `steps` steps.
///
/// The gradient is summed tape by tape, so this number is part of what decides its bits. It depends
/// on nothing but the network and the window.
pub fn batch_of_a_tape(engine: &Engine, steps: usize) -> usize {
    let columns = TAPE_LEN / KernelTape::column_len(engine.spec());
    (columns / steps.max(1)).clamp(MIN_BATCH, MAX_BATCH) / MIN_BATCH * MIN_BATCH
}

/// Outputs of one step of some series.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnerPrediction {
    pub(super) outputs: usize,
    pub(super) raw: Vec<f32>,
    pub(super) ema: Vec<f32>,
}

impl LearnerPrediction {
    /// By the weights as they are: O numbers for series `series`.
    pub fn raw(&self, series: usize) -> &[f32] {
        &self.raw[series * self.outputs..][..self.outputs]
    }

    /// By the averaged weights, which carry a state of their own.
    pub fn ema(&self, series: usize) -> &[f32] {
        &self.ema[series * self.outputs..][..self.outputs]
    }

    /// Series in it, B.
    pub fn len(&self) -> usize {
        self.raw.len() / self.outputs
    }

    /// Whether it is of no series.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }
}
