//! The fused f32 kernels: the same network as `network.rs`, at the machine's speed, the same bits
//! on every CPU.
//! They must not know series, buffers or how a learner uses them.
//!
//! ```text
//! floats ─▶ panels      where parameters lie: nothing is packed before a product
//! lanes ──▶ cells       vectors of lanes, and each cell's equations on them
//!             └▶ layer  forward and backward through time, in register tiles
//! products ────┤  tape  the transposed product, the gradient by the weights; the memory of a pass
//! head ────────┘        the linear read-out
//! update                norm, clip, optimiser and average in one pass
//! ```
//!
//! `pulp` compiles the kernels for each instruction set, and finds out once which of them this CPU
//! has: AVX-512, AVX2 with FMA, NEON, or none. This crate has no unsafe code.

mod accumulate;
mod cells;
mod engine;
mod floats;
mod head;
mod instruction_set;
mod lanes;
mod layer;
mod panels;
mod pass;
mod products;
mod tape;
mod update;
mod window;

pub use engine::KernelEngine;
pub use floats::AlignedFloats;
pub use instruction_set::InstructionSet;
pub use tape::KernelTape;
pub use update::{BeforeAfter, KernelMoments, KernelUpdate};

#[cfg(test)]
mod tests;
