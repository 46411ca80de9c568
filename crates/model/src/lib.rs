//! Recurrent networks that learn while they forecast: PyTorch's equations, at the machine's speed,
//! the same bits on every CPU.
//! It must not know Arrow, time or Kafka: it sees vectors of features, steps and labels.
//!
//! ```text
//! spec ──▶ weights ──▶ cell (rnn lstm gru) ──▶ head      the plain network, in f32 or f64: the oracle, as it is read
//!                 └────────── network ─────────┘
//! kernel                                                 the same, fused, in f32: what runs
//! loss, optimizer                                        what is made small, and how
//! buffer, replay ──▶ gradient ──▶ fit ──▶ guard           what is learned from, the gradient, the step, its safety
//!      └───────────────── learner ────────────────┘      online: predict, learn, snapshot, resume
//! sequences ──▶ train                                    offline: again and again, until it gets no better
//! file                                                   the parameters as safetensors, to PyTorch and back
//! ```
//!
//! Shapes: a matrix is features × batch, one column a series. A *panel* of the plain network holds
//! a window of T steps of B series side by side: column t·B + b is step t of series b, so the
//! products over a window are one gemm. The rows of all matrices are contiguous (whole matrices or
//! `columns(..)` of them): nalgebra 0.35 writes out of bounds in gemm on views with a row stride
//! (nalgebra #1616).
//!
//! Bits: what a learner computes comes from the kernels, which give the same bits with AVX-512,
//! AVX2, NEON or none of them (`kernel/lanes.rs` says why), and from `libm` for what they have not
//! got. So a state may move between machines. The plain network's products are `matrixmultiply`'s
//! and are only compared with tolerances.

#![forbid(unsafe_code)]

mod cell;
mod error;
pub mod file;
mod gradient;
mod guard;
mod head;
pub mod kernel;
pub mod le_blob;
mod learner;
mod learner_state;
mod loss;
mod train_state;

mod network;
mod optimizer;
mod real;
mod replay;
mod sequence_buffer;
mod spec;
mod tbptt;
mod template;
mod train;
mod update;
mod weights;
mod workspace;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod pytorch;

pub use cell::LayerState;
pub use error::{ModelError, Result};
pub use guard::StepGuard;
pub use learner::{Learner, UpdateReport};
pub use learner_state::LearnerState;
pub use loss::{HUBER_DELTA, Loss};
pub use nalgebra::DVector;
pub use network::{Network, NetworkState, NetworkTape};
pub use optimizer::{BETAS, LrSchedule, Optimizer, OptimizerMoments, OptimizerRule, clip_global_norm};
pub use real::Real;
pub use sequence_buffer::SequenceBuffer;
pub use spec::{Activation, CellKind, NetworkSpec, ParameterLayout, ParameterTensor};
pub use tbptt::{TrainingExample, TrainingTarget, loss_and_gradient};
pub use template::{LearnerSettings, LearnerTemplate};
pub use train::{
    EpochReport, TrainedNetwork, TrainingEnd, TrainingMode, TrainingProgress, TrainingSequence,
    TrainingSettings, train,
};
pub use workspace::{LearnerPrediction, LearnerWorkspace};
