//! Times one training step of every cell over sizes, windows and batches; ends with a table of
//! GFLOP/s and the share of the core's multiply-add peak, which it measures before.
//! It must not know how a step is made.
//!
//!     cargo bench -p tickcast-model --bench step -- lstm/h32

mod common;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};

use common::clock::{is_timing, time_calls};
use common::training::{Shape, Training};
use common::{CELLS, name, peak};

fn main() {
    let quick = Duration::from_millis(100);
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(quick)
        .measurement_time(3 * quick)
        .sample_size(10)
        .nresamples(2000)
        .configure_from_args();

    let peak = peak::flops();

    let mut rows = Vec::new();
    for cell in CELLS {
        for hidden in [16, 32, 64, 128] {
            bench(&mut criterion, cell, hidden, &mut rows);
        }
    }

    criterion.final_summary();
    if is_timing() {
        print(&rows, peak);
    }
}

/// Adds the least time of a step, in seconds, for every window and batch that ran.
fn bench(
    criterion: &mut Criterion,
    cell: tickcast_model::CellKind,
    hidden: usize,
    rows: &mut Vec<(Shape, f64)>,
) {
    let mut group = criterion.benchmark_group(format!("{}/h{hidden}", name(cell)));
    group.sampling_mode(SamplingMode::Flat);

    for steps in [8, 16, 32] {
        for batch in [1, 8, 32, 128] {
            let shape = Shape { cell, inputs: 8, hidden, steps, batch };
            let mut least = f64::INFINITY;
            group.throughput(Throughput::Elements(shape.flop() as u64));
            group.bench_function(BenchmarkId::from_parameter(format!("t{steps}/b{batch}")), |bencher| {
                let mut training = Training::new(shape);
                bencher.iter_custom(|calls| time_calls(calls, &mut least, || training.step()));
            });
            if least.is_finite() {
                rows.push((shape, least));
            }
        }
    }
}

fn print(rows: &[(Shape, f64)], peak: f64) {
    println!("least time of a step; peak of one core {:.1} GFLOP/s", peak / 1e9);
    println!("cell    H   T    B         us  GFLOP/s  of peak");

    for (shape, seconds) in rows {
        let flops = shape.flop() as f64 / seconds;
        let Shape { cell, hidden, steps, batch, .. } = shape;
        println!(
            "{:4} {hidden:4} {steps:3} {batch:4} {:10.2} {:8.1} {:7.1}%",
            name(*cell),
            seconds * 1e6,
            flops / 1e9,
            100.0 * flops / peak
        );
    }
}
