//! Histories of the ledger of files on a disk that loses power: at any point, within a commit and
//! within the recovery from an earlier cut. `cargo test power_cuts`, with `TICKCAST_SEEDS` and
//! `TICKCAST_SEED` as for the simulation. It must not know how the ledger makes a commit.

mod history;
mod left;

use history::run;

use super::simulation::seeds::{insist_on_repeating, run_seeds};

/// About 15 s on two cores.
const SEEDS: u64 = 120;

/// What has to happen in a run of many seeds, or it has shown nothing.
const KINDS: [&str; 40] = [
    "records worked on",
    "commits",
    "commits aborted",
    "snapshots",
    "light snapshots",
    "snapshots of several epochs",
    "histories with parquet",
    "histories with parquet parts",
    "histories of a topic",
    "histories of a file",
    "kills",
    "partitions given back",
    "runs ended by a fault",
    "power cuts",
    "power cuts within a commit",
    "power cuts within a recovery",
    "power cuts within a recovery from a power cut",
    "power cuts that leave a commit",
    "power cuts after the end",
    "writes lost",
    "writes torn",
    "blocks lost out of order",
    "files grown by zeros",
    "truncations lost",
    "creates lost",
    "renames lost",
    "unlinks lost",
    "directories lost",
    "names lost out of order",
    "syncs that failed with EIO",
    "syncs that failed with ENOSPC",
    "syncs that failed with EDQUOT",
    "file syncs that failed",
    "directory syncs that failed",
    "writes without room",
    "renames without room",
    "checks of what a power cut left",
    "checks of partitions with a commit",
    "checks of partitions with a snapshot",
    "checks of partitions with a light snapshot",
];

#[test]
fn a_power_cut_takes_nothing_that_is_committed_and_leaves_nothing_twice() {
    run_seeds("power_cuts", SEEDS, &KINDS, run);
}

#[test]
fn a_seed_takes_the_same_steps_again() {
    insist_on_repeating(run, [1, 2, 3, 4], 20);
}
