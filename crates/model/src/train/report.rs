//! What training tells: how far it is, what each epoch came to, what came of all of them.
//! It must not know how any of it was computed.

use std::ops::ControlFlow;

use nalgebra::DVector;

/// What an epoch came to. Losses are means over labels.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochReport {
    /// From 1; 0 is the network before training, whose outputs are zero.
    pub number: usize,
    /// Mean training loss, each label's by the weights before its update. None for epoch 0, and if
    /// no step could be taken.
    pub train: Option<f64>,
    /// Mean held-out loss, by the weights at the epoch's end.
    pub held_out: f64,
    /// Whether no earlier held-out loss was as low.
    pub best: bool,
    /// Learning rate of the next update.
    pub lr: f64,
}

/// How far training is.
#[derive(Debug)]
pub enum TrainingProgress<'a> {
    /// Updates of the running epoch.
    Updates {
        /// Updates made.
        done: usize,
        /// Updates that the epoch has.
        of: usize,
    },
    /// An epoch has ended.
    Epoch(&'a EpochReport),
}

/// Called with how far training is. A break ends training with the best weights so far.
pub type ProgressFn<'a> = dyn FnMut(TrainingProgress<'_>) -> ControlFlow<()> + 'a;

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainingEnd {
    /// Patience ran out.
    Converged,
    /// All epochs are done.
    Epochs,
    /// The `ProgressFn` broke it off.
    Stopped,
}

/// What came of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedNetwork {
    /// The weights with the lowest held-out loss, in the order of the network's layout.
    pub params: DVector<f32>,
    /// All whole epochs, from epoch 0.
    pub history: Vec<EpochReport>,
    /// The epoch that `params` are of.
    pub best: usize,
    /// The held-out loss of outputs that are all zero.
    pub naive: f64,
    /// Why training ended.
    pub ended: TrainingEnd,
    /// Time of the first step held out, in the unit of the sequences' times.
    pub split: i64,
    /// Steps not taken because they were not finite.
    pub skipped: u64,
}
