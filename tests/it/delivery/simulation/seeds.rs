//! Many seeds on all cores, what happened in them, and those that failed. It must not know what a
//! seed does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::faults::Tally;

/// Failures told of in one run.
const TOLD: usize = 12;

/// What became of a seed.
pub struct Report {
    pub tally: Tally,
    pub trace: Vec<String>,
    pub failure: Option<String>,
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

/// A panic is a failure of its seed too.
fn guarded(run: &impl Fn(u64, bool) -> Report, seed: u64, trace: bool) -> Report {
    catch_unwind(AssertUnwindSafe(|| run(seed, trace))).unwrap_or_else(|_| Report {
        tally: Tally::new(),
        trace: Vec::new(),
        failure: Some("it panicked".to_owned()),
    })
}

/// Runs the seeds on all cores: what happened in them, and the failures by seed.
fn run_all(seeds: u64, run: &(impl Fn(u64, bool) -> Report + Sync)) -> (Tally, Vec<(u64, String)>) {
    let (next, done) = (AtomicU64::new(0), Mutex::new((Tally::new(), Vec::new())));
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds {
            break;
        }
        let report = guarded(run, seed, false);
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

fn one(seed: u64, run: &impl Fn(u64, bool) -> Report) {
    let Report { trace, failure, .. } = guarded(run, seed, true);
    trace.iter().for_each(|line| println!("{line}"));
    assert!(failure.is_none(), "seed {seed}: {}", failure.unwrap_or_default());
}

/// Runs the one seed that the environment names, or else as many as it says. `word` finds the test.
/// Errors: seeds that fail, and kinds of things that never happened in the usual number.
pub fn run_seeds(word: &str, usual: u64, kinds: &[&str], run: impl Fn(u64, bool) -> Report + Sync) {
    if let Some(seed) = number("TICKCAST_SEED") {
        return one(seed, &run);
    }
    let seeds = number("TICKCAST_SEEDS").unwrap_or(usual);
    let began = Instant::now();
    let (tally, failures) = run_all(seeds, &run);
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    println!("{seeds} seeds, {:.0} a minute", seeds as f64 / minutes);
    tally.iter().for_each(|(what, times)| println!("{times:>9} {what}"));
    let told = failures.iter().take(TOLD).map(|(seed, why)| {
        format!("\nseed {seed}: {why}\n  TICKCAST_SEED={seed} cargo test {word} -- --nocapture")
    });
    assert!(failures.is_empty(), "{} of {seeds} seeds failed{}", failures.len(), told.collect::<String>());
    if seeds >= usual {
        let happened = |kind: &&&str| tally.get(**kind).is_some_and(|times| *times > 0);
        let missing: Vec<&&str> = kinds.iter().filter(|kind| !happened(kind)).collect();
        assert!(missing.is_empty(), "never happened: {missing:?}");
    }
}

/// A seed is worth printing only if it repeats: each takes the same steps again, more than `steps`.
pub fn insist_on_repeating(run: impl Fn(u64, bool) -> Report, seeds: [u64; 4], steps: usize) {
    for seed in seeds {
        let (once, again) = (guarded(&run, seed, true), guarded(&run, seed, true));
        assert!(once.trace == again.trace && once.failure == again.failure, "seed {seed} went another way");
        assert!(once.trace.len() > steps);
    }
}
