//! `increase` and `delta`: the step of a meter from the window before into this one, beside a plain
//! rule over all readings at once, and beside batch SQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use proptest::prelude::*;
use tickcast_forecast::WindowGrid;
use tickcast_sql::window::{Aggregation, window_operator};
use tickcast_sql::{Gaps, Stamps, Watermark, WindowKind, WindowSpec};
use tickcast_stream::closed_window::{SERIES, WINDOW_START};
use tickcast_stream::message::system_fields;
use tickcast_stream::operator::Operator;
use tickcast_stream::testing::Collected;

use super::windows::{Row, batch, fed, json_of};
use crate::support::pipeline::{Runner, TestPipeline};

const SELECT: [(&str, &str); 4] = [
    ("up", "increase(v)"),
    ("moved", "delta(v)"),
    ("both", "increase(v * 2) / 2 - delta(v) + increase(w)"),
    ("some", "increase(v) FILTER (WHERE v > 0)"),
];

/// A stream's windows: `size` and `every` in seconds.
#[derive(Debug, Clone, Copy)]
struct Windows {
    size: i64,
    every: i64,
    lateness: i64,
    watermark: Watermark,
    stamps: Stamps,
}

const S: i64 = 1_000_000;

fn operator(windows: Windows) -> Box<dyn Operator> {
    keeping(windows, usize::MAX)
}

fn keeping(windows: Windows, most_series: usize) -> Box<dyn Operator> {
    let grid = WindowGrid::fixed(windows.every * S, 0).grouped(windows.size / windows.every, 1);
    of_kind(WindowKind::Grid(grid), windows, most_series)
}

fn of_kind(kind: WindowKind, windows: Windows, most_series: usize) -> Box<dyn Operator> {
    let Windows { lateness, watermark, stamps, .. } = windows;
    let fields = batch(&[], 0).schema().fields()[system_fields().len()..].to_vec();
    let select: Vec<_> = SELECT.iter().map(|(name, sql)| (name.to_string(), sql.to_string())).collect();
    let plan =
        Arc::new(Aggregation::plan(&select, &Arc::new(arrow::datatypes::Schema::new(fields))).unwrap());
    let (lateness_us, gaps) = (lateness * S, Gaps::Skip);
    let spec = WindowSpec { kind, lateness_us, stamps, watermark, gaps, select, most_series };
    window_operator(&spec, &plan)
}

/// Of each series and window, `up`, `moved` and `some`.
type Steps = BTreeMap<(String, i64), [Option<f64>; 3]>;

fn steps_of(out: &Collected) -> Steps {
    let mut steps = Steps::new();
    for batch in &out.rows {
        let number = |name: &str, row: usize| {
            let column = batch.column_by_name(name).unwrap().as_primitive::<Float64Type>();
            column.is_valid(row).then(|| column.value(row))
        };
        let starts = batch.column_by_name(WINDOW_START).unwrap().as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let name = batch.column_by_name(SERIES).unwrap().as_string::<i32>().value(row).to_owned();
            let (up, moved) = (number("up", row), number("moved", row));
            assert_eq!(number("both", row).is_some(), up.is_some());
            steps.insert((name, starts.value(row)), [up, moved, number("some", row)]);
        }
    }
    steps
}

/// Readings by time, those of one time as they came.
type Line = BTreeMap<(i64, usize), f64>;

/// The steps of a counter and of a meter along readings, from the one before on.
fn along(before: Option<f64>, readings: &[f64]) -> [Option<f64>; 2] {
    let (Some(before), Some(last)) = (before, readings.last()) else { return [None; 2] };
    let (mut from, mut up) = (before, 0.0);
    for &reading in readings {
        up += if reading < from { reading } else { reading - from };
        from = reading;
    }
    [Some(up), Some(last - before)]
}

/// The rule in plain steps: which readings each window has, and the last one before it.
fn by_rule(windows: Windows, rows: &[Row]) -> Steps {
    let Windows { size, every, lateness, watermark, stamps } = windows;
    let earlier = i64::from(stamps == Stamps::End);
    let mut latest: BTreeMap<Option<u8>, i64> = BTreeMap::new();
    let mut accepted: BTreeMap<u8, Line> = BTreeMap::new();
    let mut within: BTreeMap<(u8, i64), Line> = BTreeMap::new();
    for (at, &(name, time, value)) in rows.iter().enumerate() {
        let time = time - earlier;
        let latest = latest.entry((watermark == Watermark::Series).then_some(name)).or_insert(i64::MIN);
        let newest = time.div_euclid(every * S) * every;
        let starts = (0..size / every).map(|n| newest - n * every);
        let open: Vec<i64> = starts.filter(|start| *latest < (start + size + lateness) * S).collect();
        *latest = time.max(*latest);
        for start in &open {
            let line = within.entry((name, start * S)).or_default();
            line.extend(value.map(|value| ((time, at), f64::from(value) / 3.0)));
        }
        if let (Some(value), false) = (value, open.is_empty()) {
            accepted.entry(name).or_default().insert((time, at), f64::from(value) / 3.0);
        }
    }

    let step = |(&(name, start), line): (&(u8, i64), &Line)| {
        let readings = |of_line: &dyn Fn(f64) -> bool| {
            let before = accepted.get(&name).into_iter().flat_map(|all| all.range(..(start, 0)));
            let before = before.map(|(_, value)| *value).rfind(|value| of_line(*value));
            (before, line.values().copied().filter(|value| of_line(*value)).collect::<Vec<_>>())
        };
        let (all, positive) = (readings(&|_| true), readings(&|value| value > 0.0));
        let [up, moved] = along(all.0, &all.1);
        ((format!("s{name}"), start), [up, moved, along(positive.0, &positive.1)[0]])
    };
    within.iter().map(step).collect()
}

fn assert_same(ours: &Steps, theirs: &Steps) {
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (window, ours) in ours {
        for (our, their) in ours.iter().zip(&theirs[window]) {
            let near = match (our, their) {
                (Some(our), Some(their)) => (our - their).abs() < 1e-9,
                (our, their) => our == their,
            };
            assert!(near, "{window:?}: {ours:?}, the rule says {:?}", theirs[window]);
        }
    }
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (0u8..4, 0i64..400, prop::option::weighted(0.9, -5i32..60), prop::bool::weighted(0.1));
    prop::collection::vec(row, 1..200).prop_map(|mut rows| {
        rows.sort_by_key(|row| row.1 / 25);
        let row = |(name, second, value, _): &(u8, i64, Option<i32>, bool)| (*name, second * S, *value);
        rows.iter().flat_map(|all| std::iter::repeat_n(row(all), 1 + usize::from(all.3))).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Shuffled, late, twice: by any batches, and restored after each of them.
    #[test]
    fn the_step_into_a_window_is_that_of_all_readings_in_the_order_of_time(
        rows in rows(),
        (size, every) in prop::sample::select(vec![(10i64, 10i64), (60, 60), (60, 10), (30, 15), (7, 7)]),
        lateness in prop::sample::select(vec![0i64, 8, 500]),
        watermark in prop::sample::select(vec![Watermark::Partition, Watermark::Series]),
        stamps in prop::sample::select(vec![Stamps::Start, Stamps::End]),
        (batch_rows, restore) in prop::sample::select(vec![(1usize, false), (7, true), (37, false), (37, true)]),
    ) {
        let windows = Windows { size, every, lateness, watermark, stamps };
        let (_, out) = fed(|| operator(windows), &rows, batch_rows, restore);
        assert_same(&steps_of(&out), &by_rule(windows, &rows));
        let (_, whole) = fed(|| operator(windows), &rows, 100_000, false);
        assert!(json_of(&out) == json_of(&whole), "batches or restores show");
    }

    /// And in the words of SQL, where nothing is late.
    #[test]
    fn the_step_into_a_window_is_batch_sql(rows in rows()) {
        let windows = Windows {
            size: 20, every: 20, lateness: 1000, watermark: Watermark::Partition, stamps: Stamps::Start,
        };
        let (_, out) = fed(|| operator(windows), &rows, 50, false);
        let all = concat_batches(&batch(&[], 0).schema(), &[batch(&rows, 0)]).unwrap();
        let mut ours = steps_of(&out);
        ours.retain(|_, steps| steps[0].is_some());
        ours.values_mut().for_each(|steps| steps[2] = None);
        assert_same(&ours, &by_batch_sql(&all, 20 * S));
    }
}

/// Readings are folded at row counts and merged by panes: neither shows batches or restores, nor
/// that series are forgotten and come again.
#[test]
fn folds_of_readings_do_not_show_batches_or_restores() {
    let rows: Vec<Row> = (0..30_000i64)
        .map(|i| ((i * i % 401 / 2) as u8, i * 3_000 - i * i % 977 * 1_000, Some((i * 31 % 997) as i32)))
        .collect();
    for (every, most_series) in [(30, usize::MAX), (30, 40), (10, usize::MAX), (10, 40)] {
        let (lateness, watermark, stamps) = (1, Watermark::Partition, Stamps::Start);
        let windows = Windows { size: 30, every, lateness, watermark, stamps };
        let bytes = |size: usize, restore: bool| {
            json_of(&fed(|| keeping(windows, most_series), &rows, size, restore).1)
        };
        let expected = bytes(30_000, false);
        assert!(expected.len() > 3_000, "{} bytes", expected.len());
        for (size, restore) in [(977, false), (4001, true)] {
            assert!(bytes(size, restore) == expected, "{every} s, {most_series} series, {size}, {restore}");
        }
    }
}

/// Windows that each series has of its own: the step is from the window before of the series,
/// however many of them close at once.
#[test]
fn the_step_into_a_session_or_a_count_is_from_the_window_before_of_the_series() {
    let readings = [3, 9, 18, 6, 15, 27];
    let rows: Vec<Row> = (0..12)
        .map(|at| {
            let second = [0, 5, 100, 105, 200, 205][at / 2];
            ((at % 2) as u8, second * S, Some(readings[at / 2] + 3 * (at % 2) as i32))
        })
        .collect();
    let count = WindowKind::Count { records: 2 };
    let session = WindowKind::Session { gap_us: 60 * S, max_us: 1000 * S };
    let windows =
        Windows { size: 1, every: 1, lateness: 0, watermark: Watermark::Partition, stamps: Stamps::Start };
    for kind in [count, session] {
        for (size, restore) in [(1, true), (5, true), (100, false)] {
            let (_, out) = fed(|| of_kind(kind.clone(), windows, usize::MAX), &rows, size, restore);
            let steps = steps_of(&out);
            let of = |name: &str| -> Vec<[Option<f64>; 2]> {
                let own = steps.iter().filter(|((series, _), _)| series == name);
                own.map(|(_, [up, moved, _])| [*up, *moved]).collect()
            };
            // From 3 to 6 and, begun anew, to 2; from 2 to 5 and 9.
            let expected = [[None, None], [Some(5.0), Some(-1.0)], [Some(7.0), Some(7.0)]];
            assert_eq!(of("s0"), expected, "{kind:?} {size}");
            // One more each: from 4 to 7 and 3; from 3 to 6 and 10.
            assert_eq!(of("s1"), [[None, None], [Some(6.0), Some(-1.0)], [Some(7.0), Some(7.0)]], "{kind:?}");
        }
    }
}

/// A step of every reading from the one before, and the sum of a window's.
fn by_batch_sql(rows: &RecordBatch, size_us: i64) -> Steps {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let context = SessionContext::new();
    let table = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]]).unwrap();
    context.register_table("rows", Arc::new(table)).unwrap();
    let query = format!(
        "WITH readings AS (
           SELECT __series AS s, arrow_cast(__time, 'Int64') / {size_us} * {size_us} AS w, v,
                  lag(v) OVER (PARTITION BY __series ORDER BY __time, __offset) AS p,
                  row_number() OVER (PARTITION BY __series, arrow_cast(__time, 'Int64') / {size_us}
                                     ORDER BY __time, __offset) AS n
           FROM rows WHERE v IS NOT NULL)
         SELECT arrow_cast(s, 'Utf8') AS s, w, sum(CASE WHEN v < p THEN v ELSE v - p END) AS up, sum(v - p) AS moved
         FROM readings GROUP BY s, w HAVING count(*) FILTER (WHERE n = 1 AND p IS NOT NULL) > 0"
    );
    let batches = runtime.block_on(async { context.sql(&query).await.unwrap().collect().await.unwrap() });
    let mut steps = Steps::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let number = |nth: usize| Some(batch.column(nth).as_primitive::<Float64Type>().value(row));
            let start = batch.column(1).as_primitive::<arrow::datatypes::Int64Type>().value(row);
            let name = batch.column(0).as_string::<i32>().value(row).to_owned();
            steps.insert((name, start), [number(2), number(3), None]);
        }
    }
    steps
}

/// What a meter counts in the quarter of an hour that ends with its nth reading, in tenths.
fn counted(n: i64) -> i64 {
    5 + n * 7919 % 31
}

/// A meter that is read every quarter of an hour, for ten days from midnight on. It is exchanged
/// once, where it begins anew.
fn readings() -> String {
    let (mut shown, mut text) = (120, String::new());
    for n in 0..=4 * 240 {
        shown = if n == 333 { 0 } else { shown } + counted(n);
        let time = (1_704_067_200 + n * 900) * S;
        text.push_str(&format!("{{\"meter\":\"m\",\"t\":{time},\"total_kwh\":{}}}\n", shown as f64 / 10.0));
    }
    text
}

fn meter_bench(window: &str, input: &str) -> TestPipeline {
    let bench = TestPipeline::new(&format!(
        "
name: meter
source: {{ file: {{ path: in.ndjson }} }}
key: meter
time: t
window: {{ {window} }}
forecast: {{ target: kwh, horizons: [1], experts: [naive] }}
sinks: {{ forecasts: {{ file: {{ path: out/ }} }}, scores: {{ file: {{ path: out/ }} }} }}
"
    ));
    bench.write("in.ndjson", input);
    bench.run(Runner::Inline, 100);
    bench
}

/// The target of every window that has one: what naive forecasts from there.
fn values(bench: &TestPipeline) -> Vec<(f64, bool)> {
    let lines = bench.out().remove("forecasts-0.ndjson").unwrap_or_default();
    let value = |line: &str| {
        let made: serde_json::Value = serde_json::from_str(line).unwrap();
        (made["naive"].as_f64().unwrap(), made["carried"] == true)
    };
    lines.lines().map(value).collect()
}

/// Found by: users' cases. `max(total) - min(total)` leaves out what was counted from the last
/// reading of an hour to the first of the next: a quarter of all.
#[test]
fn a_meter_read_at_the_end_of_each_quarter_has_counted_what_the_hours_show() {
    let bench = meter_bench("tumbling: 1h, stamps: end, select: { kwh: increase(total_kwh) }", &readings());
    let hours: Vec<f64> =
        (0..240).map(|hour| (1..=4).map(|n| counted(hour * 4 + n)).sum::<i64>() as f64 / 10.0).collect();
    let shown: Vec<f64> = values(&bench).iter().map(|(value, _)| (value * 1e6).round() / 1e6).collect();
    assert_eq!(shown, hours);
}

/// While a meter is silent nobody knows what it counts: forecasts say that the step is repeated,
/// and it is no truth. With its next reading all of it is there, so that steps add up to what the
/// meter shows.
#[test]
fn a_silent_meter_steps_when_it_speaks_again() {
    let all = readings();
    let silent = |n: usize| (40..60).contains(&n);
    let some: String =
        all.lines().enumerate().filter(|(n, _)| !silent(*n)).map(|(_, line)| format!("{line}\n")).collect();
    let clock = "{\"meter\":\"clock\",\"t\":T,\"total_kwh\":0}\n";
    let clock: String = (0..240)
        .map(|hour| clock.replace("T", &((1_704_067_200 + hour * 3600 + 1) * S).to_string()))
        .collect();
    let mut lines: Vec<&str> = some.lines().chain(clock.lines()).collect();
    lines.sort_by_key(|line| {
        line.split("\"t\":").nth(1).unwrap().split(',').next().unwrap().parse::<i64>().unwrap()
    });
    let input = lines.join("\n");
    let total: i64 = (4..=960).map(counted).sum();

    for (gaps, silent_value) in [("auto", None), ("zero", Some(0.0))] {
        let window = format!("tumbling: 1h, gaps: {gaps}, select: {{ kwh: increase(total_kwh) }}");
        let bench = meter_bench(&window, &input);
        let text = bench.out().remove("forecasts-0.ndjson").unwrap();
        let of_meter: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|made: &serde_json::Value| made["series"] == "m")
            .collect();
        let carried: Vec<&serde_json::Value> =
            of_meter.iter().filter(|made| made["carried"] == true).collect();
        assert_eq!(carried.len(), if silent_value.is_some() { 0 } else { 5 }, "{gaps}");
        let known = of_meter.iter().filter(|made| made["carried"] == false);
        let sum: f64 = known.map(|made| made["naive"].as_f64().unwrap()).sum();
        assert!((sum - total as f64 / 10.0).abs() < 1e-6, "{gaps}: {sum}, the meter says {total}");
    }
}
