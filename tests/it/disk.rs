//! A disk that can lose power: what this thread does to the files below a directory is written
//! down, and a model says what a power cut may leave of it. Linux only. It must not know a ledger.
//!
//! The integration tests' binary defines the calls of the C library that the standard library makes
//! for files. While a [`Recording`] lives, those of its thread are written down, and `fsync` does
//! nothing else: the running process sees the page cache, which is the real directory.

mod calls;
mod cut;
mod record;

pub use calls::{Recording, skewed};
pub use cut::{Image, cut};
pub use record::{Faults, Op};

/// How often each thing happened.
pub type Counts = std::collections::BTreeMap<&'static str, u64>;
