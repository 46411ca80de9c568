//! Whole deployments on a ledger in memory, thousands of them, with faults at every step of a
//! commit: `cargo test simulation`. A seed decides everything that happens. `TICKCAST_SEEDS=n` runs
//! more seeds; `TICKCAST_SEED=n` runs one and prints its steps. The file must not know a broker:
//! `ledger.rs` shows that the ledger in memory behaves as the real ones do.

pub mod clock;
mod deployment;
pub mod faults;
pub mod input;
pub mod instance;
pub mod seeds;

use std::sync::Arc;

use deployment::run;
use faults::KINDS;
use seeds::{Report, insist_on_repeating, run_seeds};

use crate::support::pipeline::watch;

/// About 15 s on two cores.
const SEEDS: u64 = 2000;

/// Instances work under wall clocks that are wrong, where the tests can set them. The undisturbed
/// run that they are compared with has the machine's.
const CLOCK_KINDS: &[&str] = if cfg!(target_os = "linux") {
    &["wall clocks hours off", "wall clocks that jumped hours", "wall clocks that went back"]
} else {
    &[]
};

fn whole(seed: u64, trace: bool) -> Report {
    run(seed, &watch(Default::default(), Arc::new(|_| ())), trace)
}

#[test]
fn whatever_happens_what_is_committed_is_what_an_undisturbed_run_writes() {
    let kinds = [&KINDS[..], CLOCK_KINDS].concat();
    run_seeds("simulation", SEEDS, &kinds, whole);
}

#[test]
fn a_seed_takes_the_same_steps_again() {
    insist_on_repeating(whole, [1, 7, 9, 21], 30);
}
