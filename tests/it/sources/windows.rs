//! Streaming windows beside the same query over all rows at once. The oracle is DataFusion's own
//! batch SQL.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Field, Float64Type, Int64Type, Schema, TimestampMicrosecondType, UInt32Type,
};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use proptest::prelude::*;
use tickcast_sql::window::{Aggregation, window_operator};
use tickcast_sql::{Gaps, Stamps, Watermark, WindowKind, WindowSpec};
use tickcast_stream::closed_window::{CARRIED, SERIES, SERIES_ID, WINDOW_NUMBER, WINDOW_START};
use tickcast_stream::message::{EventTime, system_fields};
use tickcast_stream::operator::{Operator, OperatorStats};
use tickcast_stream::testing::Collected;

const SIZE_US: i64 = 10_000_000;

pub const SELECT: [(&str, &str); 10] = [
    ("mean", "avg(v)"),
    ("spread", "max(v) - min(v)"),
    ("n", "count(*)"),
    ("some", "count(v) FILTER (WHERE v > 0)"),
    ("first", "first_value(v ORDER BY w)"),
    ("mid", "median(v)"),
    ("sd", "stddev(v)"),
    ("corr", "corr(v, w)"),
    ("distinct_v", "count(DISTINCT v)"),
    ("p90", "approx_percentile_cont(0.9) WITHIN GROUP (ORDER BY v)"),
];

/// A series, a time and a value.
pub type Row = (u8, i64, Option<i32>);

pub fn batch(rows: &[Row], first: usize) -> RecordBatch {
    let mut fields = system_fields();
    fields.push(Field::new("v", DataType::Float64, true));
    fields.push(Field::new("w", DataType::Float64, true));
    let ordinal = |i: usize| (first + i) as i64;
    let value = |v: Option<i32>| v.map(|v| f64::from(v) / 3.0);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values((0..rows.len()).map(ordinal))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.1)).with_timezone("UTC")),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|r| format!("s{}", r.0)))),
        Arc::new(Float64Array::from_iter(rows.iter().map(|r| value(r.2)))),
        Arc::new(Float64Array::from_iter_values(
            (0..rows.len()).map(|i| (ordinal(i) * 7919 % 100_003) as f64),
        )),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// `SELECT` as it is written, and planned.
pub fn aggregation() -> (Vec<(String, String)>, Arc<Aggregation>) {
    let select: Vec<(String, String)> = SELECT.iter().map(|(n, e)| (n.to_string(), e.to_string())).collect();
    let input = Arc::new(Schema::new(vec![
        Field::new("v", DataType::Float64, true),
        Field::new("w", DataType::Float64, true),
    ]));
    let plan = Arc::new(Aggregation::plan(&select, &input).unwrap());
    (select, plan)
}

fn operator(gaps: Gaps, lateness_us: i64, most_series: usize) -> Box<dyn Operator> {
    let (select, plan) = aggregation();
    let kind = WindowKind::Grid(SIZE_US.into());
    let (stamps, watermark) = (Stamps::Start, Watermark::Partition);
    let spec = WindowSpec { kind, lateness_us, stamps, watermark, gaps, select, most_series };
    window_operator(&spec, &plan)
}

/// (series, start, columns as numbers), sorted.
pub type Closed = Vec<(String, i64, Vec<Option<f64>>)>;

fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"))
}

/// A selected column's value as a number.
pub fn number(batch: &RecordBatch, name: &str, row: usize) -> Option<f64> {
    let column = arrow::compute::cast(column(batch, name), &DataType::Float64).unwrap();
    let column = column.as_primitive::<Float64Type>();
    column.is_valid(row).then(|| column.value(row))
}

pub fn series_of(batch: &RecordBatch, row: usize) -> String {
    column(batch, SERIES).as_string::<i32>().value(row).to_owned()
}

pub fn start_of(batch: &RecordBatch, row: usize) -> i64 {
    column(batch, WINDOW_START).as_primitive::<TimestampMicrosecondType>().value(row)
}

pub fn rows_of(batches: &[RecordBatch]) -> Closed {
    let mut closed = Closed::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let selected = SELECT.iter().map(|(name, _)| number(batch, name, row)).collect();
            closed.push((series_of(batch, row), start_of(batch, row), selected));
        }
    }
    closed.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    closed
}

fn by_batch_sql(rows: &RecordBatch) -> Closed {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let context = SessionContext::new();
    let table = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]]).unwrap();
    context.register_table("rows", Arc::new(table)).unwrap();
    let select: Vec<String> = SELECT.iter().map(|(name, sql)| format!("{sql} AS {name}")).collect();
    let query = format!(
        "SELECT arrow_cast(__series, 'Utf8') {SERIES}, \
         arrow_cast(arrow_cast(__time, 'Int64') / {SIZE_US} * {SIZE_US}, 'Timestamp(Microsecond, None)') {WINDOW_START}, {} \
         FROM rows GROUP BY 1, 2",
        select.join(", ")
    );
    let batches = runtime.block_on(async { context.sql(&query).await.unwrap().collect().await.unwrap() });
    rows_of(&batches)
}

pub fn assert_same(ours: &Closed, theirs: &Closed) {
    assert_eq!(ours.len(), theirs.len());
    for (our, their) in ours.iter().zip(theirs) {
        assert_eq!((&our.0, our.1), (&their.0, their.1));
        for (((name, _), a), b) in SELECT.iter().zip(&our.2).zip(&their.2) {
            let near = match (a, b) {
                (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * (1.0 + a.abs()) || (a.is_nan() && b.is_nan()),
                (a, b) => a == b,
            };
            assert!(near, "{name} of {} at {}: {a:?}, batch SQL says {b:?}", our.0, our.1);
        }
    }
}

pub fn close_all(operator: &mut dyn Operator, batches: &[RecordBatch]) -> Collected {
    let mut out = Collected::default();
    for batch in batches {
        operator.on_batch(batch, &mut out).unwrap();
    }
    operator.on_watermark(EventTime::MAX, &mut out).unwrap();
    out
}

/// A record is late when a record before it was at or past its window's end plus the lateness.
fn late_by_definition(rows: &[Row], lateness_us: i64) -> Vec<i64> {
    let mut latest = i64::MIN;
    let mut late = Vec::new();
    for (offset, &(_, time, _)) in rows.iter().enumerate() {
        let end = time / SIZE_US * SIZE_US + SIZE_US;
        if latest >= end + lateness_us {
            late.push(offset as i64);
        }
        latest = latest.max(time);
    }
    late
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn streaming_windows_are_batch_sql_over_the_rows_that_were_not_late(
        rows in prop::collection::vec((0u8..5, 0i64..100_000_000, prop::option::of(-30i32..30)), 1..400),
        lateness_us in prop::sample::select(vec![0i64, 5_000_000, 200_000_000]),
    ) {
        let batches: Vec<RecordBatch> =
            rows.chunks(37).enumerate().map(|(i, chunk)| batch(chunk, i * 37)).collect();
        let out = close_all(operator(Gaps::Skip, lateness_us, usize::MAX).as_mut(), &batches);
        let late: Vec<i64> = out.rejects.iter().map(|reject| reject.offset.0).collect();
        prop_assert_eq!(&late, &late_by_definition(&rows, lateness_us));
        let all = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
        let kept: arrow::array::BooleanArray = (0..rows.len()).map(|i| Some(!late.contains(&(i as i64)))).collect();
        let kept = arrow::compute::filter_record_batch(&all, &kept).unwrap();
        assert_same(&rows_of(&out.rows), &by_batch_sql(&kept));
    }
}

/// Which rows count where `most` series are kept: of every series that is forgotten, those whose
/// windows had closed by then. It is the rule in plain steps, a row after the other.
fn kept_by_definition(rows: &[Row], most: usize) -> Vec<bool> {
    let mut kept = vec![true; rows.len()];
    // In order of first sight: the series, its newest window, its rows.
    let mut known: Vec<(u8, i64, Vec<usize>)> = Vec::new();
    let mut latest = i64::MIN;
    for (at, &(name, time, _)) in rows.iter().enumerate() {
        let start = time / SIZE_US * SIZE_US;
        if start + SIZE_US <= latest {
            continue;
        }

        latest = latest.max(time);
        if !known.iter().any(|series| series.0 == name) {
            if known.len() == most {
                for _ in 0..most.div_ceil(16) {
                    let spoke_in = known.iter().map(|series| series.1).min().unwrap();
                    let silent = known.iter().position(|series| series.1 == spoke_in).unwrap();
                    for row in known.remove(silent).2 {
                        kept[row] = rows[row].1 / SIZE_US * SIZE_US + SIZE_US <= latest;
                    }
                }
            }
            known.push((name, i64::MIN, Vec::new()));
        }
        let series = known.iter_mut().find(|series| series.0 == name).unwrap();
        series.1 = series.1.max(start);
        series.2.push(at);
    }
    kept
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn of_too_many_series_those_silent_for_longest_are_forgotten(
        rows in prop::collection::vec((0u8..60, 0i64..30_000_000, prop::option::of(-30i32..30)), 1..600),
        most in prop::sample::select(vec![1usize, 2, 7, 20, 33]),
    ) {
        let mut rows = rows;
        rows.sort_by_key(|row| row.1 / 4_000_000);
        let batches: Vec<RecordBatch> =
            rows.chunks(37).enumerate().map(|(i, chunk)| batch(chunk, i * 37)).collect();
        let mut windows = operator(Gaps::Skip, 0, most);
        let out = close_all(windows.as_mut(), &batches);
        let late = late_by_definition(&rows, 0);
        let kept = kept_by_definition(&rows, most);
        let kept = (0..rows.len()).map(|row| Some(kept[row] && !late.contains(&(row as i64))));
        let kept: arrow::array::BooleanArray = kept.collect();
        let all = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
        let kept = arrow::compute::filter_record_batch(&all, &kept).unwrap();
        assert_same(&rows_of(&out.rows), &by_batch_sql(&kept));

        let mut stats = OperatorStats::default();
        windows.report(&mut stats);
        // A series of which all records are late was never known.
        let known = rows.iter().enumerate().filter(|(row, _)| !late.contains(&(*row as i64)));
        let names: std::collections::BTreeSet<u8> = known.map(|(_, row)| row.0).collect();
        prop_assert!(stats.series_active <= most as u64);
        prop_assert!(stats.series_active + stats.series_forgotten >= names.len() as u64);
    }
}

/// More rows than are folded at once: states are merged on the way.
#[test]
fn windows_of_many_folds_are_batch_sql() {
    let rows: Vec<Row> =
        (0..40_000i64).map(|i| ((i % 7) as u8, i * 500, Some((i * 31 % 97) as i32 - 40))).collect();
    let batches: Vec<RecordBatch> =
        rows.chunks(3001).enumerate().map(|(i, chunk)| batch(chunk, i * 3001)).collect();
    let out = close_all(operator(Gaps::Skip, 0, usize::MAX).as_mut(), &batches);
    assert!(out.rejects.is_empty());
    let all = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
    let mut theirs = by_batch_sql(&all);
    let mut ours = rows_of(&out.rows);
    // t-digests of other batches are other digests: near, not equal.
    let p90 = SELECT.len() - 1;
    for (our, their) in ours.iter_mut().zip(&mut theirs) {
        let (a, b) = (our.2[p90].take().unwrap(), their.2[p90].take().unwrap());
        assert!((a - b).abs() < 0.5, "{a} {b}");
    }
    assert_same(&ours, &theirs);
}

/// Found by the test of windows that overlap. Of a window with more rows than are folded at once, a
/// series that came after the fold with nulls alone had a sum of 0 and an average of NaN.
#[test]
fn a_series_of_nulls_alone_has_no_sum_after_a_fold_either() {
    let mut rows: Vec<Row> = (0..9_000).map(|i| (1, i, Some(3))).collect();
    rows.push((2, 9_000, None));
    let out = close_all(operator(Gaps::Skip, 0, usize::MAX).as_mut(), &[batch(&rows, 0)]);
    let closed = rows_of(&out.rows);
    let of = |name: &str| SELECT.iter().position(|(column, _)| *column == name).unwrap();
    assert_eq!([closed[0].2[of("mean")], closed[1].2[of("mean")]], [Some(1.0), None]);
    assert_same(&closed, &by_batch_sql(&batch(&rows, 0)));
}

/// What comes of rows in batches of `size`, up to their end. With `restore` the operator is thrown
/// away after each of them, and restored.
pub fn fed(
    operator: impl Fn() -> Box<dyn Operator>,
    rows: &[Row],
    size: usize,
    restore: bool,
) -> (Box<dyn Operator>, Collected) {
    let (mut windows, mut out) = (operator(), Collected::default());
    for (i, chunk) in rows.chunks(size).enumerate() {
        windows.on_batch(&batch(chunk, i * size), &mut out).unwrap();
        if restore {
            let state = windows.snapshot()().unwrap();
            windows = operator();
            windows.restore(&state).unwrap();
            assert!(windows.snapshot()().unwrap() == state);
        }
    }
    windows.on_watermark(EventTime::MAX, &mut out).unwrap();
    (windows, out)
}

/// The closed windows, to the last bit.
pub fn json_of(out: &Collected) -> Vec<u8> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    out.rows.iter().for_each(|rows| writer.write(rows).unwrap());
    writer.into_inner()
}

/// Folds happen at the same rows however they came, and a snapshot between two folds moves no bit.
#[test]
fn folds_do_not_show_batches_or_restores() {
    let rows: Vec<Row> =
        (0..30_000i64).map(|i| ((i % 3) as u8, i * 300, Some((i * 31 % 97) as i32 - 40))).collect();
    let bytes = |rows: &[Row], most_series: usize, size: usize, restore: bool| {
        json_of(&fed(|| operator(Gaps::Carry, 0, most_series), rows, size, restore).1)
    };
    // With 200 series that come and go, where 40 are kept, many are forgotten between two folds.
    let many: Vec<Row> = (0..30_000i64)
        .map(|i| ((i * i % 401 / 2) as u8, i * 3000, Some((i * 31 % 97) as i32 - 40)))
        .collect();
    for (rows, most_series) in [(&rows, usize::MAX), (&many, 40)] {
        let expected = bytes(rows, most_series, 30_000, false);
        assert!(expected.len() > 300);
        for (size, restore) in [(977, false), (977, true), (8192, true), (4001, true)] {
            let same = bytes(rows, most_series, size, restore) == expected;
            assert!(same, "{most_series} series, batches of {size}, restored {restore}");
        }
    }
}

#[test]
fn silent_series_are_carried_or_skipped_and_rows_keep_the_order_of_first_sight() {
    let rows: Vec<Row> = vec![(2, 0, Some(6)), (1, 1, Some(3)), (1, 35_000_000, Some(9))];
    let series = |out: &Collected| -> Vec<(i64, String, bool)> {
        out.rows
            .iter()
            .flat_map(|batch| {
                (0..batch.num_rows()).map(|row| {
                    let number = column(batch, WINDOW_NUMBER).as_primitive::<Int64Type>().value(row);
                    assert_eq!(number, start_of(batch, row) / SIZE_US);
                    let (id, name) = (column(batch, SERIES_ID), series_of(batch, row));
                    // s2 was seen before s1.
                    let id = id.as_primitive::<UInt32Type>().value(row);
                    assert_eq!(id, u32::from(name == "s1"));
                    (number, name, column(batch, CARRIED).as_boolean().value(row))
                })
            })
            .collect()
    };
    let skipped = close_all(operator(Gaps::Skip, 0, usize::MAX).as_mut(), &[batch(&rows, 0)]);
    let s = |start, name: &str, carried| (start, name.to_owned(), carried);
    assert_eq!(series(&skipped), [s(0, "s2", false), s(0, "s1", false), s(3, "s1", false)]);
    let carried = close_all(operator(Gaps::Carry, 0, usize::MAX).as_mut(), &[batch(&rows, 0)]);
    assert_eq!(
        series(&carried),
        [
            s(0, "s2", false),
            s(0, "s1", false),
            s(1, "s2", true),
            s(1, "s1", true),
            s(2, "s2", true),
            s(2, "s1", true),
            s(3, "s2", true),
            s(3, "s1", false),
        ]
    );
}
