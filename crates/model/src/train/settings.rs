//! How a network is trained offline: what one update is made of, how long, by which loss and
//! optimiser.
//! It must not know sequences, nor how a pass is computed.

use crate::engine::Backend;
use crate::loss::Loss;
use crate::optimizer::Optimizer;

/// What one update is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainingMode {
    /// The next T moments of all sequences, in the order of time, their states carried along.
    Online,
    /// So many shuffled windows of T steps. Their start states come from a pass with the weights at
    /// the epoch's start.
    MiniBatch(usize),
    /// All sequences from their first step to the tail. Backpropagation is not truncated, and an
    /// epoch is one update.
    FullBatch,
}

/// How a network is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingSettings {
    /// What one update is made of.
    pub mode: TrainingMode,
    /// Steps of a window, T.
    pub bptt: usize,
    /// From a step to the truth of each label slot (K), in the unit of the sequences' times.
    pub lags: Vec<i64>,
    /// Passes over the histories, at most.
    pub epochs: usize,
    /// Epochs without a better held-out loss after which it counts as converged.
    pub patience: usize,
    /// Share of the steps, the last in time, that is held out; in (0, 1).
    pub holdout: f64,
    /// What the network is trained to make small.
    pub loss: Loss,
    /// How a gradient becomes a step.
    pub optimizer: Optimizer,
    /// Global norm above which a gradient is shortened to it.
    pub clip: f32,
    /// Seed of the first weights and of the shuffling.
    pub seed: u64,
    /// What computes the network's passes.
    pub backend: Backend,
}
