//! Times the online learner as a pipeline has it, by each backend (GRU of 32, 24 features, 3 horizons, 32 steps
//! back, 2 windows replayed): predict, label, learn. One element is one step of one series; ends
//! with a table of microseconds for each.
//! It must not know how it learns.
//!
//!     cargo bench -p tickcast-model --bench learner

mod common;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};

use tickcast_model::Backend;

use common::clock::{is_timing, time_calls};
use common::online::Online;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();

    let mut group = criterion.benchmark_group("learner");
    group.sampling_mode(SamplingMode::Flat);

    let mut rows = Vec::new();
    for series in [1, 8, 32, 128] {
        group.throughput(Throughput::Elements(series as u64));
        let times = Backend::ALL.map(|backend| {
            let mut least = f64::INFINITY;
            group.bench_function(BenchmarkId::new(backend.word(), format!("b{series}")), |bencher| {
                let mut online = Online::of_a_pipeline(series, backend);
                bencher.iter_custom(|calls| time_calls(calls, &mut least, || online.round()));
            });
            least * 1e6 / series as f64
        });
        if times.iter().all(|us| us.is_finite()) {
            rows.push((series, times));
        }
    }

    group.finish();
    criterion.final_summary();

    if is_timing() {
        println!("least time of a step of one series, in us\nseries    fused nalgebra    ratio");
        for (series, [fused, plain]) in rows {
            println!("{series:6} {fused:8.2} {plain:8.2} {:8.1}", plain / fused);
        }
    }
}
