//! What the operator does at its bounds, and with bytes that are no state of it.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use tickcast_stream::closed_window::{WINDOW_END, WINDOW_START};
use tickcast_stream::message::{EventTime, system_fields};
use tickcast_stream::operator::Operator;
use tickcast_stream::testing::Collected;

use super::super::plan::Aggregation;
use super::super::spec::{Gaps, Stamps, Watermark, WindowKind, WindowSpec};
use super::OwnWindowOperator;

fn operator(lateness_us: i64, watermark: Watermark) -> OwnWindowOperator {
    let select = vec![("n".to_owned(), "count(v)".to_owned())];
    let input = Arc::new(Schema::new(vec![Field::new("v", DataType::Float64, true)]));
    let plan = Arc::new(Aggregation::plan(&select, &input).unwrap());
    let spec = WindowSpec {
        kind: WindowKind::Session { gap_us: 10, max_us: 100 },
        lateness_us,
        stamps: Stamps::Start,
        watermark,
        gaps: Gaps::Auto,
        select,
        most_series: 9,
    };
    OwnWindowOperator::sessions(&spec, 10, 100, plan)
}

fn batch(rows: &[(&str, i64)]) -> RecordBatch {
    let mut fields = system_fields();
    fields.push(Field::new("v", DataType::Float64, true));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..rows.len() as i64)),
        Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.1)).with_timezone("UTC")),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.0))),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|_| 1.0))),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// Start, end and records of each closed window, and the offsets of what was late.
fn windows(out: &Collected) -> (Vec<(i64, i64, i64)>, Vec<i64>) {
    let of = |rows: &RecordBatch| {
        let time = |name| rows[name].as_primitive::<TimestampMicrosecondType>().value(0);
        (time(WINDOW_START), time(WINDOW_END), rows["n"].as_primitive::<Int64Type>().value(0))
    };
    (out.rows.iter().map(of).collect(), out.rejects.iter().map(|reject| reject.offset.0).collect())
}

/// A lateness of a year would hold a year of records.
#[test]
fn where_too_many_records_wait_the_earliest_waits_no_longer() {
    for watermark in [Watermark::Partition, Watermark::Series] {
        let mut operator = operator(1_000_000, watermark);
        operator.most_held = 3;
        let mut out = Collected::default();
        // Each record from the fourth on takes the earliest in: 0, 20, 40. Then 15 is late.
        let times = [0, 40, 20, 45, 50, 60, 15];
        let rows: Vec<(&str, i64)> = times.iter().map(|&time| ("a", time)).collect();
        operator.on_batch(&batch(&rows), &mut out).unwrap();
        assert_eq!(operator.state.counts.held, 3);
        assert_eq!(windows(&out), (vec![(0, 10, 1), (20, 30, 1)], vec![6]));

        operator.on_watermark(EventTime::MAX, &mut out).unwrap();
        assert_eq!(windows(&out).0[2..], [(40, 60, 3), (60, 70, 1)]);
        assert_eq!((operator.state.counts.held, operator.state.counts.windows), (0, 0));
    }
}

/// The record of a new series that makes others be forgotten may be the one that closes their
/// windows.
#[test]
fn what_has_ended_closes_before_its_series_is_forgotten() {
    let mut operator = operator(5, Watermark::Partition);
    operator.most_series = 1;
    let mut out = Collected::default();
    operator.on_batch(&batch(&[("a", 0), ("a", 3), ("b", 40), ("c", 45), ("c", 90)]), &mut out).unwrap();
    assert_eq!(windows(&out), (vec![(0, 13, 2), (45, 55, 1)], vec![]), "b was forgotten while it was open");
    assert_eq!((operator.state.series_forgotten, operator.state.series.len()), (2, 1));
}

/// A watermark that is told, as by a clock that closes the windows of a quiet partition.
#[test]
fn a_watermark_that_is_told_closes_what_ended_before_it() {
    for watermark in [Watermark::Partition, Watermark::Series] {
        let mut operator = operator(50, watermark);
        let mut out = Collected::default();
        operator.on_batch(&batch(&[("a", 0), ("b", 5), ("a", 40)]), &mut out).unwrap();
        assert!(out.rows.is_empty());
        operator.on_watermark(EventTime(30), &mut out).unwrap();
        assert_eq!(windows(&out).0, [(0, 10, 1), (5, 15, 1)]);
        operator.on_batch(&batch(&[("a", 8), ("a", 32), ("b", 10), ("b", 25)]), &mut out).unwrap();
        assert_eq!(windows(&out).1, [0, 2], "8 and 10 are of sessions that have closed");
        operator.on_watermark(EventTime::MAX, &mut out).unwrap();
        assert_eq!(windows(&out).0.len(), 4);
    }
}

#[test]
fn bytes_that_are_no_state_of_it_are_refused() {
    let mut whole = operator(20, Watermark::Partition);
    let mut out = Collected::default();
    whole.on_batch(&batch(&[("a", 0), ("b", 5), ("a", 30), ("c", 31)]), &mut out).unwrap();
    let state = whole.snapshot()().unwrap();
    for cut in (0..state.len()).step_by(5) {
        assert!(operator(20, Watermark::Partition).restore(&state[..cut]).is_err(), "{cut}");
    }
    assert!(operator(20, Watermark::Series).restore(&state).is_err(), "it has one clock");
    // Whatever a byte is changed to, it is refused or it is some state: nothing panics.
    for at in (0..state.len()).step_by(7) {
        let mut other = state.clone();
        other[at] ^= 0x55;
        let mut restored = operator(20, Watermark::Partition);
        if restored.restore(&other).is_ok() {
            _ = restored.on_batch(&batch(&[("a", 35), ("d", 90)]), &mut Collected::default());
        }
    }
}
