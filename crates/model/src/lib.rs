//! The recurrent network and how it learns while it runs.
//! It must not know Arrow, time or Kafka: it sees vectors of features, steps and labels.
//!
//! ```text
//! spec ──▶ weights ──▶ cell (rnn lstm gru) ──▶ head      one flat parameter vector, PyTorch's names and orders
//!                 └────────── network ─────────┘         forward, backward
//! track, replay ──▶ tbptt ──▶ optimizer ──▶ guard        what is learned from, the gradient, the step, its safety
//!      └───────────────── learner ────────────────┘      predict, learn, snapshot, resume
//! file                                                   the parameters as safetensors, to PyTorch and back
//! ```
//!
//! Shapes: a matrix is features × batch, one column a series. A *panel* holds a window of T steps of B series
//! side by side: column t·B + b is step t of series b, so the products over a window are one gemm.
//! The rows of all matrices are contiguous (whole matrices or `columns(..)` of them): nalgebra 0.35 writes out of
//! bounds in gemm on views with a row stride (nalgebra #1616).
//!
//! Bits: `exp` and `tanh` are the `libm` crate's. Products come from `matrixmultiply`, which takes FMA kernels where
//! the CPU has them: CPUs with the same features give the same bits.

mod cell;
mod error;
pub mod file;
mod fit;
mod guard;
mod head;
pub mod kernel;
mod learner;
mod loss;
mod network;
mod optimizer;
mod real;
mod replay;
mod spec;
mod tbptt;
mod track;
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
pub use guard::Guard;
pub use learner::{Learned, Learner, Memory, Recipe, Settings};
pub use loss::{HUBER_DELTA, Loss};
pub use nalgebra::DVector;
pub use network::{Network, State, Tape};
pub use optimizer::{BETAS, Moments, Optimizer, Rule, Schedule, clip_global_norm};
pub use real::Real;
pub use spec::{Activation, Cell, Layout, NetworkSpec, Parameter};
pub use tbptt::{Example, Target, loss_and_gradient};
pub use track::Track;
pub use workspace::{Prediction, Workspace};
