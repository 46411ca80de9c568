//! The time of one call, out of many: by itself, or within criterion.
//! It must not know what is called.

use std::hint::black_box;
use std::time::{Duration, Instant};

const WARM_UP: Duration = Duration::from_millis(100);
const SAMPLE: Duration = Duration::from_millis(10);
const SAMPLES: usize = 20;

/// Seconds a call, each the mean over a sample of calls.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub least: f64,
    pub median: f64,
}

/// The time of `calls` calls, as criterion asks for it; `least` keeps the least time of one, in
/// seconds.
pub fn time_calls<R>(calls: u64, least: &mut f64, mut work: impl FnMut() -> R) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        black_box(work());
    }
    let spent = start.elapsed();
    *least = least.min(spent.as_secs_f64() / calls as f64);
    spent
}

/// Whether what runs are timings: a test run calls everything once, cold.
pub fn is_timing() -> bool {
    let has = |wanted: &str| std::env::args().any(|arg| arg == wanted);
    has("--bench") && !has("--test")
}

/// Calls `work` for about a third of a second, or as often as the samples need.
pub fn time<R>(mut work: impl FnMut() -> R) -> Times {
    let start = Instant::now();

    let mut calls = 0u32;
    while start.elapsed() < WARM_UP {
        black_box(work());
        calls += 1;
    }

    let share = SAMPLE.as_secs_f64() / start.elapsed().as_secs_f64();
    let per_sample = ((f64::from(calls) * share) as u32).max(1);

    let mut samples: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..per_sample {
                black_box(work());
            }
            start.elapsed().as_secs_f64() / f64::from(per_sample)
        })
        .collect();

    samples.sort_by(f64::total_cmp);
    Times { least: samples[0], median: samples[SAMPLES / 2] }
}
