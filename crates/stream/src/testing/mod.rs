//! For tests and simulations only: a ledger in memory with a broker's faults, and an output that
//! keeps everything. No pipeline is built on it. It is public because the tests of other crates use
//! it too; it keeps no promise of compatibility, and product code must not import it.

mod collected;
mod memory;

pub use collected::Collected;
pub use memory::{CRASHED, Fate, Fates, InstanceId, Step, World};
