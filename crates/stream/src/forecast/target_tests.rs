//! Several targets beside pipelines with one of them alone.

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use tickcast_forecast::{ForecastSpec, Forecaster, Horizon};

use super::ForecastOperator;
use super::fixture::{SIZE_US, window};
use crate::message::Stream;
use crate::operator::{Collected, Operator};

/// The experts of each target see both columns.
fn spec(target: &str, other: &str) -> ForecastSpec {
    let mut spec = ForecastSpec::new(target);
    spec.features.push(other.to_owned());
    spec.horizons = vec![Horizon(1), Horizon(3)];
    spec.season = Some(4);
    spec.model.hidden = 2;
    spec
}

fn both() -> ForecastOperator {
    let of = |spec: ForecastSpec| Forecaster::new(&spec, SIZE_US);
    ForecastOperator::of(vec![of(spec("x", "y")), of(spec("y", "x"))])
}

/// Two series with nulls, silence and a gap.
fn history() -> Vec<RecordBatch> {
    let of = |number: i64| {
        let t = number as f64;
        let x = (number % 7 != 3).then_some((t * 0.7).sin() * 5.0 + t / 10.0);
        match number {
            0..4 => window(number, &[("a", x, t.cos(), false)]),
            30..34 => window(number, &[]),
            _ => window(number, &[("a", x, -t, false), ("b", Some(t.cos()), t.sin(), number % 5 == 2)]),
        }
    };
    (0..60).map(of).collect()
}

/// What comes of the windows, where the operator is thrown away and restored after each `nth`.
fn run(new: impl Fn() -> ForecastOperator, nth: usize) -> Vec<(Stream, RecordBatch)> {
    let (mut operator, mut out) = (new(), Collected::default());
    for (number, rows) in history().iter().enumerate() {
        operator.on_batch(rows, &mut out).unwrap();
        if number % nth == nth - 1 {
            let state = operator.snapshot()().unwrap();
            operator = new();
            operator.restore(&state).unwrap();
        }
    }
    out.results
}

/// The records of one target, batch by batch.
fn of_target(results: &[(Stream, RecordBatch)], target: &str) -> Vec<(Stream, RecordBatch)> {
    let of = |(stream, rows): &(Stream, RecordBatch)| {
        let names = rows["target"].as_string::<i32>();
        let is_meant = BooleanArray::from_iter(names.iter().map(|name| Some(name == Some(target))));
        (*stream, filter_record_batch(rows, &is_meant).unwrap())
    };
    results.iter().map(of).filter(|(_, rows)| rows.num_rows() > 0).collect()
}

#[test]
fn records_of_a_target_are_those_of_a_pipeline_with_it_alone() {
    let results = run(both, usize::MAX);
    for (target, other) in [("x", "y"), ("y", "x")] {
        let alone = run(|| ForecastOperator::new(&spec(target, other), SIZE_US), usize::MAX);
        assert!(alone.len() > 100);
        assert_eq!(of_target(&results, target), alone, "{target}");
    }
}

#[test]
fn the_records_of_a_window_stand_in_the_order_of_the_targets() {
    for (_, rows) in run(both, usize::MAX) {
        let names: Vec<&str> = rows["target"].as_string::<i32>().iter().flatten().collect();
        assert!(names.is_sorted(), "{names:?}");
    }
}

#[test]
fn restores_change_nothing_of_any_target() {
    let results = run(both, usize::MAX);
    assert!(run(both, 1) == results);
    assert!(run(both, 7) == results);
}

#[test]
fn a_state_of_one_target_is_none_of_several() {
    let mut one = ForecastOperator::new(&spec("x", "y"), SIZE_US);
    let mut several = both();
    for rows in history() {
        one.on_batch(&rows, &mut Collected::default()).unwrap();
        several.on_batch(&rows, &mut Collected::default()).unwrap();
    }
    let [of_one, of_several] = [one.snapshot()().unwrap(), several.snapshot()().unwrap()];
    assert!(one.restore(&of_several).is_err());
    assert!(several.restore(&of_one).is_err());
    assert!(several.restore(&of_several[..of_several.len() - 1]).is_err());
}
