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
//! `pulp` finds out once what the CPU can (AVX-512, AVX2 with FMA, NEON, or nothing) and compiles
//! the kernels for each. None of it is unsafe code of ours.

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
