//! The time of one call, out of many.
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
