//! What a recorder keeps beside what the operator does on the same windows.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use tickcast_forecast::{Calendar, ForecastSpec, Horizon, Recorder, network_spec};

use super::ForecastOperator;
use super::fixture::{SIZE_US, spec_with, window};
use crate::closed_window;
use crate::message::Stream;
use crate::operator::{Collected, Operator};
use crate::place::PartitionId;

fn record(recorder: &mut Recorder, partition: PartitionId, plan: &ForecastSpec, batch: &RecordBatch) {
    if let Some(window) = closed_window::window(batch).unwrap() {
        let rows = closed_window::rows(batch, &plan.features).unwrap();
        recorder.take(partition.0, window, &rows).unwrap();
    }
}

fn plan() -> ForecastSpec {
    spec_with(|spec| {
        spec.horizons = vec![Horizon(1), Horizon(3)];
        spec.season = Some(4);
        spec.calendar = vec![Calendar::Hour];
        spec.model.hidden = 2;
    })
}

/// Two series with nulls, carried rows and a gap of four windows.
fn history() -> Vec<RecordBatch> {
    let of = |number: i64| {
        let t = number as f64;
        let (a, b) = ((t * 0.7).sin() * 5.0 + t / 10.0, (t * 1.3).cos());
        let a = (number % 7 != 3).then_some(a);
        match number {
            0..4 => window(number, &[("a", a, t, false)]),
            30..34 => window(number, &[]),
            _ => window(number, &[("a", a, t, false), ("b", Some(b), -t, number % 5 == 2)]),
        }
    };
    (0..60).map(of).collect()
}

#[test]
fn labels_are_the_truths_that_the_operator_scores() {
    let plan = plan();
    let mut operator = ForecastOperator::new(&plan, SIZE_US);
    let mut recorder = Recorder::new(&plan, SIZE_US);
    let mut out = Collected::default();
    for rows in history() {
        operator.on_batch(&rows, &mut out).unwrap();
        record(&mut recorder, PartitionId(0), &plan, &rows);
    }
    assert_eq!((recorder.series(), recorder.windows(), recorder.moves()), (2, 60, true));
    let sequences = recorder.finish();
    assert_eq!(sequences[0].width(), network_spec(&plan).inputs);
    let mut scored = BTreeMap::new();
    for (_, scores) in out.results.iter().filter(|(stream, _)| *stream == Stream::Scores) {
        let number = |name: &str| scores[name].as_primitive::<Float64Type>();
        for row in 0..scores.num_rows() {
            let series = usize::from(scores["series"].as_string::<i32>().value(row) == "b");
            let issued = scores["issued_at"].as_primitive::<TimestampMicrosecondType>().value(row);
            let slot = usize::from(scores["horizon"].as_primitive::<Int32Type>().value(row) == 3);
            let moved = number("actual").value(row) - number("naive").value(row);
            scored.insert((series, issued / SIZE_US - 1, slot), moved);
        }
    }
    let mut labelled = 0;
    for (at, sequence) in sequences.iter().enumerate() {
        for (step, &time) in sequence.times().iter().enumerate() {
            for (slot, label) in sequence.labels(step) {
                let moved = scored[&(at, time, slot)];
                assert!(f64::from(label) * moved > 0.0, "{at} {time} {slot}: {label} {moved}");
                labelled += 1;
            }
        }
    }
    // Only those made before there was a scale have none.
    assert!(labelled + 10 > scored.len() && labelled <= scored.len(), "{labelled} of {}", scored.len());
}

#[test]
fn a_label_is_the_move_in_units_of_the_scale_at_its_origin() {
    let plan = plan();
    let mut recorder = Recorder::new(&plan, SIZE_US);
    for (number, x) in [1.0, 3.0, 7.0, 4.0].into_iter().enumerate() {
        record(&mut recorder, PartitionId(0), &plan, &window(number as i64, &[("a", Some(x), 0.0, false)]));
    }
    // The same name in another partition is another series.
    record(&mut recorder, PartitionId(1), &plan, &window(9, &[("a", Some(1.0), 0.0, false)]));
    let sequences = recorder.finish();
    assert_eq!((sequences.len(), sequences[0].times()), (2, &[0, 1, 2, 3][..]));
    let labels: Vec<Vec<(usize, f32)>> = (0..4).map(|step| sequences[0].labels(step).collect()).collect();
    // At step 1 the only step seen is 2; at step 2 they are 2 and 4.
    let rms = (10.0f64).sqrt();
    assert_eq!(labels, [vec![], vec![(0, 2.0)], vec![(0, (-3.0 / rms) as f32)], vec![]]);
}
