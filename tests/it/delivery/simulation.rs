//! Whole deployments on a ledger in memory, thousands of them, with faults at every step of a
//! commit: `cargo test simulation`. A seed decides everything that happens. `TICKCAST_SEEDS=n` runs
//! more seeds; `TICKCAST_SEED=n` runs one and prints its steps. The file must not know a broker:
//! `ledger.rs` shows that the ledger in memory behaves as the real ones do.

mod deployment;
mod faults;
mod input;
mod instance;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use deployment::{Report, run};
use faults::{KINDS, Tally};

use crate::support::pipeline::watch;

/// About 15 s on two cores.
const SEEDS: u64 = 2000;
/// Failures told of in one run.
const TOLD: usize = 5;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

/// A panic is a failure of its seed too.
fn guarded(seed: u64, trace: bool) -> Report {
    let watch = watch(Default::default(), Arc::new(|_| ()));
    catch_unwind(AssertUnwindSafe(|| run(seed, &watch, trace))).unwrap_or_else(|_| Report {
        tally: Tally::new(),
        trace: Vec::new(),
        failure: Some("it panicked".to_owned()),
    })
}

/// Runs the seeds on all cores: what happened in them, and the failures by seed.
fn run_all(seeds: u64) -> (Tally, Vec<(u64, String)>) {
    let (next, done) = (AtomicU64::new(0), Mutex::new((Tally::new(), Vec::new())));
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds {
            break;
        }
        let report = guarded(seed, false);
        let (tally, failures) = &mut *done.lock().unwrap();
        report.tally.into_iter().for_each(|(what, times)| *tally.entry(what).or_default() += times);
        failures.extend(report.failure.map(|why| (seed, why)));
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let (tally, mut failures) = done.into_inner().unwrap();
    failures.sort();
    (tally, failures)
}

fn one(seed: u64) {
    let Report { trace, failure, .. } = guarded(seed, true);
    trace.iter().for_each(|line| println!("{line}"));
    assert!(failure.is_none(), "seed {seed}: {}", failure.unwrap_or_default());
}

#[test]
fn whatever_happens_what_is_committed_is_what_an_undisturbed_run_writes() {
    if let Some(seed) = number("TICKCAST_SEED") {
        return one(seed);
    }
    let seeds = number("TICKCAST_SEEDS").unwrap_or(SEEDS);
    let began = Instant::now();
    let (tally, failures) = run_all(seeds);
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    println!("{seeds} seeds, {:.0} a minute", seeds as f64 / minutes);
    tally.iter().for_each(|(what, times)| println!("{times:>9} {what}"));
    let told = failures.iter().take(TOLD).map(|(seed, why)| {
        format!("\nseed {seed}: {why}\n  TICKCAST_SEED={seed} cargo test simulation -- --nocapture")
    });
    assert!(failures.is_empty(), "{} of {seeds} seeds failed{}", failures.len(), told.collect::<String>());
    if seeds >= SEEDS {
        let missing: Vec<&str> = KINDS.into_iter().filter(|kind| !tally.contains_key(kind)).collect();
        assert!(missing.is_empty(), "never happened: {missing:?}");
    }
}

/// A seed is worth printing only if it repeats.
#[test]
fn a_seed_takes_the_same_steps_again() {
    for seed in [1, 5, 7, 9] {
        let (once, again) = (guarded(seed, true), guarded(seed, true));
        assert!(once.trace == again.trace && once.failure == again.failure, "seed {seed} went another way");
        assert!(once.trace.len() > 30);
    }
}
