//! Session and count windows: beside batch SQL over the rows of each, whatever the order of
//! arrival; in batches and restores of any size; and from a file to a backtest.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampMicrosecondType;
use proptest::prelude::*;
use tickcast_sql::window::window_operator;
use tickcast_sql::{Gaps, Stamps, Watermark, WindowKind, WindowSpec};
use tickcast_stream::closed_window::WINDOW_END;
use tickcast_stream::message::column;
use tickcast_stream::operator::{Operator, OperatorStats};
use tickcast_stream::testing::Collected;

use super::window_kinds::by_batch_sql;
use super::windows::{
    Closed, Row, SELECT, aggregation, assert_same, batch, close_all, fed, json_of, number, series_of,
    start_of,
};

/// Sessions of a stream, and the rule in plain steps.
#[derive(Debug, Clone, Copy)]
struct Sessions {
    gap: i64,
    max: i64,
    lateness: i64,
    watermark: Watermark,
}

impl Sessions {
    fn operator(&self, most_series: usize) -> Box<dyn Operator> {
        let kind = WindowKind::Session { gap_us: self.gap, max_us: self.max };
        operator(kind, self.lateness, self.watermark, most_series)
    }
}

fn operator(
    kind: WindowKind,
    lateness_us: i64,
    watermark: Watermark,
    most_series: usize,
) -> Box<dyn Operator> {
    let (select, plan) = aggregation();
    let (stamps, gaps) = (Stamps::Start, Gaps::Auto);
    let spec = WindowSpec { kind, lateness_us, stamps, watermark, gaps, select, most_series };
    window_operator(&spec, &plan)
}

fn counting(records: u64, most_series: usize) -> Box<dyn Operator> {
    operator(WindowKind::Count { records }, 0, Watermark::Partition, most_series)
}

/// A window by the rule: its series, its rows by their places in the stream, and its ends.
#[derive(Debug, Clone, PartialEq)]
struct Expected {
    series: u8,
    rows: Vec<usize>,
    start: i64,
    end: i64,
}

/// What the rule remembers of a series.
#[derive(Default)]
struct Known {
    open: Vec<(i64, usize)>,
    closed_to: Option<i64>,
}

impl Known {
    fn first(&self) -> i64 {
        self.open.iter().map(|row| row.0).min().unwrap()
    }

    fn last(&self) -> i64 {
        self.open.iter().map(|row| row.0).max().unwrap()
    }

    fn end(&self, rule: &Sessions) -> Option<i64> {
        (!self.open.is_empty()).then(|| (self.last() + rule.gap).min(self.first() + rule.max))
    }

    fn close(&mut self, rule: &Sessions, series: u8) -> Expected {
        let (start, end) = (self.first(), self.end(rule).unwrap());
        self.closed_to = Some(end);
        let rows = std::mem::take(&mut self.open).into_iter().map(|row| row.1).collect();
        Expected { series, rows, start, end }
    }
}

/// The windows of a stream in the order in which each series has them, and the rows that are late.
fn sessions_by_definition(rule: &Sessions, rows: &[Row]) -> (Vec<Expected>, Vec<i64>) {
    let (mut windows, mut late) = (Vec::new(), Vec::new());
    let mut known: BTreeMap<u8, Known> = BTreeMap::new();
    let mut waiting: Vec<(i64, usize)> = Vec::new();
    let mut watermarks: BTreeMap<Option<u8>, i64> = BTreeMap::new();
    let whose = |series: u8| (rule.watermark == Watermark::Series).then_some(series);
    for (at, &(series, time, _)) in rows.iter().enumerate() {
        let watermark = watermarks.entry(whose(series)).or_insert(i64::MIN);
        *watermark = (time - rule.lateness).max(*watermark);
        let now = *watermark;
        settle(rule, rows, now, |of| whose(of) == whose(series), &mut waiting, &mut known, &mut windows);
        if time > now {
            waiting.push((time, at));
            continue;
        }

        let own = known.entry(series).or_default();
        let after_closed = own.closed_to.is_none_or(|closed_to| time >= closed_to);
        let is_taken = match own.end(rule) {
            None => time + rule.gap > now,
            Some(_) if time >= own.first() => true,
            Some(_) => own.first() < time + rule.gap && own.last() < time + rule.max,
        };
        if after_closed && is_taken { own.open.push((time, at)) } else { late.push(at as i64) }
    }

    settle(rule, rows, i64::MAX, |_| true, &mut waiting, &mut known, &mut windows);
    (windows, late)
}

/// Takes in what waits, in order of time, up to the watermark; sessions that have ended close.
fn settle(
    rule: &Sessions,
    rows: &[Row],
    watermark: i64,
    is_meant: impl Fn(u8) -> bool,
    waiting: &mut Vec<(i64, usize)>,
    known: &mut BTreeMap<u8, Known>,
    windows: &mut Vec<Expected>,
) {
    waiting.sort_unstable();
    let (due, rest): (Vec<_>, Vec<_>) =
        waiting.iter().partition(|(time, at)| *time <= watermark && is_meant(rows[*at].0));
    *waiting = rest;
    for (time, at) in due {
        let own = known.entry(rows[at].0).or_default();
        if own.end(rule).is_some_and(|end| end <= time) {
            windows.push(own.close(rule, rows[at].0));
        }
        own.open.push((time, at));
    }
    for (&series, own) in known.iter_mut().filter(|(series, _)| is_meant(**series)) {
        if own.end(rule).is_some_and(|end| end <= watermark) {
            windows.push(own.close(rule, series));
        }
    }
}

/// The greedy rule over rows in order of time: what every order of arrival within the lateness has
/// to come to.
fn sessions_of_sorted(rule: &Sessions, rows: &[Row]) -> Vec<Expected> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&at| rows[at].1);
    let (mut known, mut windows): (BTreeMap<u8, Known>, Vec<_>) = Default::default();
    for at in order {
        let (series, time, _) = rows[at];
        let own = known.entry(series).or_default();
        if own.end(rule).is_some_and(|end| end <= time) {
            windows.push(own.close(rule, series));
        }
        own.open.push((time, at));
    }
    windows.extend(known.into_iter().map(|(series, mut own)| own.close(rule, series)));
    windows
}

/// The place of each window among those of its series.
fn places(series: impl Iterator<Item = String>) -> Vec<i64> {
    let mut had: BTreeMap<String, i64> = BTreeMap::new();
    let place = |series| {
        let had = had.entry(series).or_default();
        *had += 1;
        *had
    };
    series.map(place).collect()
}

/// The closed windows, each under its place among those of its series, and their ends.
fn shown(out: &Collected) -> (Closed, Vec<(String, i64, i64)>) {
    assert!(out.rows.iter().all(|batch| batch.num_rows() == 1), "each window has its own batch");
    let places = places(out.rows.iter().map(|batch| series_of(batch, 0)));
    let (mut closed, mut spans) = (Closed::new(), Vec::new());
    for (batch, place) in out.rows.iter().zip(places) {
        let selected = SELECT.iter().map(|(name, _)| number(batch, name, 0)).collect();
        closed.push((series_of(batch, 0), place, selected));
        let end = batch[WINDOW_END].as_primitive::<TimestampMicrosecondType>().value(0);
        spans.push((series_of(batch, 0), start_of(batch, 0), end));
    }
    closed.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    (closed, spans)
}

/// The operator makes these windows of the rows.
fn check(mut operator: Box<dyn Operator>, rows: &[Row], size: usize, expected: &[Expected], late: &[i64]) {
    let batches: Vec<RecordBatch> =
        rows.chunks(size).enumerate().map(|(i, chunk)| batch(chunk, i * size)).collect();
    let out = close_all(operator.as_mut(), &batches);
    let rejected: Vec<i64> = out.rejects.iter().map(|reject| reject.offset.0).collect();
    assert_eq!(rejected, late);

    let (closed, mut spans) = shown(&out);
    let name = |window: &Expected| format!("s{}", window.series);
    let mut theirs: Vec<_> = expected.iter().map(|window| (name(window), window.start, window.end)).collect();
    spans.sort_by(|a, b| a.0.cmp(&b.0));
    theirs.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(spans, theirs);
    let places = places(expected.iter().map(name));
    let counted = expected.iter().zip(places);
    let counted = counted.flat_map(|(window, place)| window.rows.iter().map(move |&row| (row as u32, place)));
    let all = concat_batches(&batches[0].schema(), &batches).unwrap();
    assert_same(&closed, &by_batch_sql(&all, &counted.collect::<Vec<_>>()));
}

const S: i64 = 1_000_000;

fn rules() -> impl Strategy<Value = Sessions> {
    let watermark = prop::sample::select(vec![Watermark::Partition, Watermark::Series]);
    let shape = prop::sample::select(vec![(5 * S, 40 * S), (5 * S, 5 * S), (1, 7 * S), (20 * S, 1_000 * S)]);
    (shape, prop::sample::select(vec![0, 3 * S, 30 * S]), watermark)
        .prop_map(|((gap, max), lateness, watermark)| Sessions { gap, max, lateness, watermark })
}

fn value() -> impl Strategy<Value = Option<i32>> {
    prop::option::of(-30i32..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Each record comes at most the lateness after any that is later, some of them twice.
    #[test]
    fn sessions_are_batch_sql_in_any_order_of_arrival_within_the_lateness(
        rows in prop::collection::vec((0u8..5, 0i64..120, value(), 0i64..30, prop::bool::weighted(0.1)), 1..300),
        rule in rules(), size in prop::sample::select(vec![1usize, 37, 1000]),
    ) {
        let mut arriving: Vec<(i64, Row)> = Vec::new();
        for (series, time, value, delay, twice) in rows {
            let (time, delay) = (time * S, delay * S * rule.lateness / (30 * S));
            arriving.extend(std::iter::repeat_n((time + delay, (series, time, value)), 1 + usize::from(twice)));
        }
        arriving.sort_by_key(|(at, _)| *at);
        let rows: Vec<Row> = arriving.into_iter().map(|(_, row)| row).collect();
        check(rule.operator(usize::MAX), &rows, size, &sessions_of_sorted(&rule, &rows), &[]);
    }

    #[test]
    fn sessions_of_jumbled_records_are_those_of_the_rule(
        rows in prop::collection::vec((0u8..4, -40i64..60, value()), 1..300),
        rule in rules(), size in prop::sample::select(vec![1usize, 37, 1000]),
    ) {
        let mut now = 0;
        let rows: Vec<Row> = rows.into_iter().map(|(series, step, value)| {
            now += (step + 10).max(-5);
            (series, (now + step.min(0)) * S / 4, value)
        }).collect();
        let (expected, late) = sessions_by_definition(&rule, &rows);
        check(rule.operator(usize::MAX), &rows, size, &expected, &late);
    }

    #[test]
    fn counted_windows_are_batch_sql_over_so_many_records_as_they_came(
        rows in prop::collection::vec((0u8..4, -60i64..60, value()), 1..300),
        records in prop::sample::select(vec![1usize, 2, 7, 50]),
        size in prop::sample::select(vec![1usize, 37, 1000]),
    ) {
        let rows: Vec<Row> = rows.into_iter().map(|(series, time, value)| (series, time * S, value)).collect();
        let mut expected = Vec::new();
        for series in 0..4 {
            let own: Vec<usize> = (0..rows.len()).filter(|&at| rows[at].0 == series).collect();
            expected.extend(own.chunks_exact(records).map(|own| Expected {
                series,
                rows: own.to_vec(),
                start: own.iter().map(|&at| rows[at].1).min().unwrap(),
                end: own.iter().map(|&at| rows[at].1).max().unwrap(),
            }));
        }
        check(counting(records as u64, usize::MAX), &rows, size, &expected, &[]);
    }
}

/// Rows are folded at counts that no batch shows, also where series are forgotten between two
/// folds.
#[test]
fn neither_batches_nor_restores_show_in_windows_of_a_series_own() {
    let jumbled = |series: i64| -> Vec<Row> {
        let value = |i: i64| Some((i * 31 % 97) as i32 - 40);
        let time = |i: i64| i * 30_000 - i * i % 977 * 1_500 + i / 9_000 * 20 * S;
        (0..30_000i64).map(|i| ((i * i % 401 % series) as u8, time(i), value(i))).collect()
    };
    let session = |lateness, watermark| Sessions { gap: 4 * S, max: 200 * S, lateness, watermark };
    type Make = Box<dyn Fn() -> Box<dyn Operator>>;
    let cases: [(&str, i64, Make); 6] = [
        ("in order of arrival", 3, Box::new(move || session(0, Watermark::Partition).operator(usize::MAX))),
        ("held", 3, Box::new(move || session(S, Watermark::Partition).operator(usize::MAX))),
        ("few of many", 200, Box::new(move || session(S, Watermark::Partition).operator(40))),
        ("by series", 200, Box::new(move || session(S, Watermark::Series).operator(40))),
        ("counted", 3, Box::new(|| counting(3_000, usize::MAX))),
        ("few of many counted", 200, Box::new(|| counting(3, 40))),
    ];
    for (name, series, operator) in cases {
        let rows = jumbled(series);
        let run = |size: usize, restore: bool| {
            let (windows, out) = fed(&operator, &rows, size, restore);
            let mut stats = OperatorStats::default();
            windows.report(&mut stats);
            let late: Vec<i64> = out.rejects.iter().map(|reject| reject.offset.0).collect();
            (json_of(&out), late, stats)
        };
        let expected = run(rows.len(), false);
        assert!(expected.0.iter().filter(|byte| **byte == b'\n').count() > 3, "{name}");
        assert_eq!(expected.2.series_forgotten > 0, series == 200, "{name}");
        for (size, restore) in [(7, false), (977, true), (8192, true)] {
            let found = run(size, restore);
            assert!(found == expected, "{name}: batches of {size}, restored {restore}");
        }
    }
}

/// Fed from a batch and from one row at a time, two sessions become one where a record comes
/// between them that is not late.
#[test]
fn a_record_between_two_sessions_makes_them_one() {
    let rule = Sessions { gap: 30 * S, max: 1_000 * S, lateness: 60 * S, watermark: Watermark::Partition };
    let apart: Vec<Row> = vec![(1, 0, Some(3)), (1, 50 * S, Some(6)), (1, 200 * S, Some(9))];
    let bridged: Vec<Row> = vec![apart[0], apart[1], (1, 25 * S, Some(12)), apart[2]];
    let spans = |rows: &[Row]| {
        let out = close_all(rule.operator(9).as_mut(), &[batch(rows, 0)]);
        assert!(out.rejects.is_empty());
        shown(&out).1.into_iter().map(|(_, start, end)| (start / S, end / S)).collect::<Vec<_>>()
    };
    assert_eq!(spans(&apart), [(0, 30), (50, 80), (200, 230)]);
    assert_eq!(spans(&bridged), [(0, 80), (200, 230)]);
    // Once the first has closed it is late: it was told which sessions have.
    let mut late = apart.clone();
    late.push((1, 25 * S, Some(1)));
    let out = close_all(rule.operator(9).as_mut(), &[batch(&late, 0)]);
    assert_eq!(out.rejects.len(), 1);
    assert_eq!(out.rejects[0].detail, "its session has closed: all that end by 1970-01-01T00:02:20Z have");
}

#[test]
fn a_session_that_never_ends_is_cut_at_its_longest() {
    let rule = Sessions { gap: 30 * S, max: 3_600 * S, lateness: 5 * S, watermark: Watermark::Partition };
    let rows: Vec<Row> = (0..3 * 86_400 / 10).map(|n| (1, n * 10 * S, Some(1))).collect();
    let mut windows = rule.operator(9);
    let mut out = Collected::default();
    windows.on_batch(&batch(&rows, 0), &mut out).unwrap();
    let (closed, spans) = shown(&out);
    assert_eq!(spans.len(), 71, "the last is open");
    assert!(spans.iter().enumerate().all(|(n, (_, start, end))| {
        (*start, *end) == (n as i64 * 3_600 * S, (n as i64 + 1) * 3_600 * S)
    }));
    let n = SELECT.iter().position(|(name, _)| *name == "n").unwrap();
    assert!(closed.iter().all(|row| row.2[n] == Some(360.0)));
}

/// A batch of rows of series of any name.
fn of_names(names: impl Iterator<Item = String>, first: usize) -> RecordBatch {
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(names));
    let rows: Vec<Row> = (0..names.len()).map(|n| (0, (first + n) as i64, Some(1))).collect();
    let plain = batch(&rows, first);
    let mut columns = plain.columns().to_vec();
    columns[plain.schema().index_of(column::SERIES).unwrap()] = names;
    RecordBatch::try_new(plain.schema(), columns).unwrap()
}

/// Who takes the id of a record for the key of its series has as many series as records. They are
/// forgotten, and the few that come again are counted.
#[test]
fn of_very_many_series_few_are_kept() {
    let session = WindowKind::Session { gap_us: 50 * S, max_us: 90 * S };
    for kind in [WindowKind::Count { records: 100 }, session] {
        let mut windows = operator(kind.clone(), 0, Watermark::Partition, 500);
        let mut out = Collected::default();
        for part in 0..40 {
            let name =
                |n: usize| if n.is_multiple_of(10) { "again".into() } else { format!("once-{part}-{n}") };
            windows.on_batch(&of_names((0..5_000).map(name), part * 5_000), &mut out).unwrap();
        }
        let mut stats = OperatorStats::default();
        windows.report(&mut stats);
        assert!(stats.series_active <= 500 && stats.series_forgotten > 179_000, "{stats:?}");
        let is_counted = kind == (WindowKind::Count { records: 100 });
        // The median and the distinct values of an open session are in its state.
        assert!(windows.snapshot()().unwrap().len() < if is_counted { 200_000 } else { 1_000_000 });
        let closed = if is_counted { 200 } else { 0 };
        assert_eq!((out.rows.len(), stats.windows_closed), (closed, closed as u64));
        assert!(out.rows.iter().all(|batch| series_of(batch, 0) == "again"));
    }
}

#[test]
fn rows_without_columns_are_counted_too() {
    let select = vec![("n".to_owned(), "count(*)".to_owned())];
    let input = Arc::new(arrow::datatypes::Schema::empty());
    let plan = Arc::new(tickcast_sql::window::Aggregation::plan(&select, &input).unwrap());
    let kind = WindowKind::Session { gap_us: 10, max_us: 100 };
    let (stamps, watermark, gaps) = (Stamps::Start, Watermark::Partition, Gaps::Auto);
    let spec = WindowSpec { kind, lateness_us: 5, stamps, watermark, gaps, select, most_series: 9 };
    let make = || window_operator(&spec, &plan);
    let rows: Vec<Row> = [0, 3, 1, 40, 44, 42, 90].map(|time| (1, time, Some(1))).to_vec();
    let (_, out) = fed(make, &rows, 2, true);
    let n = |batch: &RecordBatch| {
        arrow::compute::cast(&batch["n"], &arrow::datatypes::DataType::Float64).unwrap()
    };
    let counts =
        out.rows.iter().map(|batch| n(batch).as_any().downcast_ref::<Float64Array>().unwrap().value(0));
    assert_eq!(counts.collect::<Vec<_>>(), [3.0, 3.0, 1.0]);
}
