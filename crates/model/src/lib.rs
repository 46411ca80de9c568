//! Recurrent networks that learn while they forecast: PyTorch's equations, at the machine's speed,
//! with the same bits on every CPU.
//! It must not know Arrow, time or Kafka: it sees vectors of features, steps and labels.
//!
//! ```
//! use tickcast_model::{
//!     Activation, Backend, CellKind, Learner, LearnerSettings, LearnerTemplate, Loss, NetworkSpec,
//!     Optimizer,
//! };
//!
//! # fn main() -> tickcast_model::Result<()> {
//! // Two features a step, and one output: the forecast of how far the next value is from this one.
//! let spec = NetworkSpec {
//!     cell: CellKind::Gru,
//!     activation: Activation::Tanh,
//!     inputs: 2,
//!     hidden: 8,
//!     layers: 1,
//!     outputs: 1,
//!     skip: true,
//! };
//! let settings = LearnerSettings {
//!     bptt: 16,
//!     longest_lag: 1,
//!     stride: 1,
//!     replay: 2,
//!     loss: Loss::Huber { delta: 1.5 },
//!     optimizer: Optimizer::adam(3e-3),
//!     clip: 1.0,
//!     ema: 0.995,
//!     backend: Backend::Fused,
//!     seed: 1,
//! };
//! let template = LearnerTemplate::new(spec, settings);
//! let mut workspace = template.workspace();
//! let mut learner = Learner::new(&template);
//! let mut series = learner.new_buffer();
//!
//! // A wave that comes again after 24 steps.
//! let value = |t: usize| (std::f32::consts::TAU * t as f32 / 24.0).sin();
//! let (mut forecast, mut error, mut naive_error) = (0.0, 0.0, 0.0);
//! for t in 1..1000 {
//!     let change = value(t) - value(t - 1);
//!
//!     // The forecast made at the step before is scored by the truth that has come. "No change" is
//!     // the naive forecast, and what a fresh learner says.
//!     if t >= 900 {
//!         error += (forecast - change).abs();
//!         naive_error += change.abs();
//!     }
//!
//!     let prediction = learner.predict(&mut workspace, &mut [&mut series], &[value(t), change]);
//!     forecast = prediction.raw(0)[0];
//!
//!     // The label of the step before the newest one is known now: learn from it.
//!     series.label(1, 0, change);
//!     learner.learn(&mut workspace, &mut [&mut series]);
//! }
//! assert!(error < 0.2 * naive_error, "{error} of {naive_error}");
//!
//! // A learner goes on from its state, bit for bit.
//! let resumed = Learner::resume(&template, learner.state().clone())?;
//! assert_eq!(resumed.params(), learner.params());
//! # Ok(())
//! # }
//! ```
//!
//! # Rooms
//!
//! ```text
//! spec ─▶ weights ─▶ cell (rnn lstm gru) ─▶ head    the plain network, f32 or f64: the oracle
//!                └────────── network ─────────┘
//! kernel                                            the same, fused, in f32
//! engine                                            one of the two, as the settings say
//! loss, optimizer                                   what is made small, and how
//! sequence_buffer, replay                           what is learned from
//!   └▶ gradient ─▶ update ─▶ train_state, guard     the gradient, the step, its safety
//!        └── learner                                online: predict, learn, snapshot, resume
//!        └── train                                  offline: until it gets no better
//! half, packed_state                                numbers in fewer bits, where that is enough
//! file, le_blob                                     weights to PyTorch and back; floats in states
//! ```
//!
//! # Shapes
//!
//! A matrix is features × batch, one column a series. A *panel* of the plain network holds a window
//! of T steps of B series side by side: column t·B + b is step t of series b, so that the product
//! over a window is one gemm.
//!
//! The rows of all matrices are contiguous: whole matrices, or `columns(..)` of them. On views with
//! a row stride nalgebra 0.35 writes out of bounds in gemm (nalgebra #1616).
//!
//! # Bits
//!
//! What a learner computes comes from the kernels and from `libm`. The kernels give the same bits
//! with AVX-512, AVX2, NEON or none of them; `kernel/lanes.rs` says why. So a state may move
//! between machines. The products of the plain network are `matrixmultiply`'s, which chooses
//! instructions by the CPU: a learner with `Backend::Nalgebra` gives the same bits on one kind of
//! CPU, and tests compare it with tolerances.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod cell;
mod engine;
mod error;
pub mod file;
mod gradient;
mod guard;
pub mod half;
mod head;
pub mod kernel;
pub mod le_blob;
mod learner;
mod learner_state;
mod loss;
mod train_state;

mod network;
mod optimizer;
mod packed_state;
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
pub use engine::Backend;
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
