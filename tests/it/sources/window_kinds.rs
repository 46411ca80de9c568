//! Every kind of window beside the same query over all rows at once, where a plain rule says which
//! windows a row belongs to. The aggregates are DataFusion's own batch SQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Field, Schema, TimeUnit};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use jiff::civil::Weekday;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan, ZonedDateTime};
use proptest::prelude::*;
use tickcast_forecast::{CalendarUnit, CalendarUnits, WindowGrid};
use tickcast_sql::window::window_operator;
use tickcast_sql::{Gaps, Stamps, Watermark, WindowKind, WindowSpec};
use tickcast_stream::closed_window::{SERIES, WINDOW_START};
use tickcast_stream::operator::OperatorStats;
use tickcast_stream::testing::Collected;

use super::windows::{
    Closed, Row, SELECT, aggregation, assert_same, batch, close_all, fed, json_of, rows_of,
};

/// Start and end of every window that holds a time.
type WindowsOf<'a> = dyn Fn(i64) -> Vec<(i64, i64)> + 'a;

/// A stream, its windows and the rule that says the same.
struct Case<'a> {
    grid: WindowGrid,
    lateness_us: i64,
    stamps: Stamps,
    watermark: Watermark,
    rule: &'a WindowsOf<'a>,
}

/// Which windows a row is counted in: those of its own that no record before has closed. A row
/// without any is late.
fn counted_in(case: &Case<'_>, rows: &[Row]) -> (Vec<(u32, i64)>, Vec<i64>) {
    let earlier_us = i64::from(case.stamps == Stamps::End);
    let (mut latest, mut counted, mut late) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (at, &(name, time, _)) in rows.iter().enumerate() {
        let time = time - earlier_us;
        let whose = (case.watermark == Watermark::Series).then_some(name);
        let latest = latest.entry(whose).or_insert(i64::MIN);
        let open = (case.rule)(time).into_iter().filter(|(_, end)| *latest < end + case.lateness_us);
        let before = counted.len();
        counted.extend(open.map(|(start, _)| (at as u32, start)));
        if counted.len() == before {
            late.push(at as i64);
        }
        *latest = time.max(*latest);
    }
    (counted, late)
}

/// The query over rows, each as often as it is in a window.
pub fn by_batch_sql(rows: &RecordBatch, counted: &[(u32, i64)]) -> Closed {
    let indices = UInt32Array::from_iter_values(counted.iter().map(|(row, _)| *row));
    let rows = take_record_batch(rows, &indices).unwrap();
    let starts = TimestampMicrosecondArray::from_iter_values(counted.iter().map(|(_, start)| *start));
    let mut fields: Vec<Field> = rows.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.push(Field::new(
        WINDOW_START,
        arrow::datatypes::DataType::Timestamp(TimeUnit::Microsecond, None),
        false,
    ));
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::new(starts) as ArrayRef);
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();

    let context = SessionContext::new();
    let table = MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap();
    context.register_table("rows", Arc::new(table)).unwrap();
    let select: Vec<String> = SELECT.iter().map(|(name, sql)| format!("{sql} AS {name}")).collect();
    let query = format!(
        "SELECT arrow_cast(__series, 'Utf8') {SERIES}, {WINDOW_START}, {} FROM rows GROUP BY 1, 2",
        select.join(", ")
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    rows_of(&runtime.block_on(async { context.sql(&query).await.unwrap().collect().await.unwrap() }))
}

/// The operator says what the rule says.
fn check(case: &Case<'_>, rows: &[Row], size: usize) {
    let batches: Vec<RecordBatch> =
        rows.chunks(size).enumerate().map(|(i, chunk)| batch(chunk, i * size)).collect();
    let (select, plan) = aggregation();
    let spec = WindowSpec {
        kind: WindowKind::Grid(case.grid.clone()),
        lateness_us: case.lateness_us,
        stamps: case.stamps,
        watermark: case.watermark,
        gaps: Gaps::Skip,
        select,
        most_series: usize::MAX,
    };
    let out = close_all(window_operator(&spec, &plan).as_mut(), &batches);

    let (counted, late) = counted_in(case, rows);
    let rejected: Vec<i64> = out.rejects.iter().map(|reject| reject.offset.0).collect();
    assert_eq!(rejected, late);
    let all = concat_batches(&batches[0].schema(), &batches).unwrap();
    assert_same(&rows_of(&out.rows), &by_batch_sql(&all, &counted));
}

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

fn zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).unwrap()
}

fn micros(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_microsecond()
}

/// The unit of the calendar that holds a time, by jiff's own start of a local day.
fn unit_around(unit: CalendarUnit, zone: &TimeZone, time: i64) -> (i64, i64) {
    let local = Timestamp::from_microsecond(time).unwrap().to_zoned_datetime(zone.clone());
    let day = local.date();
    let (first, next) = match unit {
        CalendarUnit::Days(days) => {
            let since = jiff::civil::date(1970, 1, 1).until(day).unwrap().get_days().rem_euclid(days as i32);
            let first = day - since.days();
            (first, first + (days as i32).days())
        }
        CalendarUnit::Week => {
            let since = i32::from(day.weekday().since(Weekday::Monday));
            let first = day - since.days();
            (first, first + 7.days())
        }
        CalendarUnit::Months(months) => {
            let since = (i32::from(day.month()) - 1) % months as i32;
            let first = day.first_of_month() - since.months();
            (first, first + (months as i32).months())
        }
    };
    let start = |date: jiff::civil::Date| -> i64 {
        let midnight: ZonedDateTime = date.to_zoned_datetime(zone.clone()).unwrap().start_of_day().unwrap();
        midnight.timestamp().as_microsecond()
    };
    (start(first), start(next))
}

/// Rows around a time, hours apart, jumbled, some of them twice.
fn rows(from: i64) -> impl Strategy<Value = Vec<Row>> {
    let row = (0u8..4, 0i64..60 * 24 * 4, prop::option::of(-30i32..30), prop::bool::weighted(0.1));
    prop::collection::vec(row, 1..300).prop_map(move |rows| {
        let mut rows: Vec<_> = rows.into_iter().enumerate().collect();
        // Order within a few days, disorder within hours.
        rows.sort_by_key(|(_, row)| row.1 / 40);
        let row = |(name, quarter, value, _): &(u8, i64, _, _)| (*name, from + quarter * HOUR_US / 4, *value);
        rows.iter().flat_map(|(_, all)| std::iter::repeat_n(row(all), 1 + usize::from(all.3))).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn local_days_weeks_months_and_years_are_batch_sql(
        (from, rows) in prop::sample::select(vec![
            // Both changes of the clock, a leap day, a new year, a day that was left out.
            "2024-03-01T00:00:00Z", "2024-10-01T00:00:00Z", "2024-02-01T00:00:00Z",
            "2020-12-01T00:00:00Z", "2011-12-01T00:00:00Z", "1969-12-01T00:00:00Z",
        ]).prop_flat_map(|from| (Just(from), rows(micros(from)))),
        unit in prop::sample::select(vec![
            CalendarUnit::Days(1), CalendarUnit::Days(3), CalendarUnit::Week,
            CalendarUnit::Months(1), CalendarUnit::Months(3), CalendarUnit::Months(12),
        ]),
        name in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia", "Asia/Kathmandu"]),
        lateness_us in prop::sample::select(vec![0, 5 * HOUR_US, 90 * DAY_US]),
        stamps in prop::sample::select(vec![Stamps::Start, Stamps::End]),
        watermark in prop::sample::select(vec![Watermark::Partition, Watermark::Series]),
        size in prop::sample::select(vec![1usize, 37, 1000]),
    ) {
        let zone = zone(name);
        let units = CalendarUnits { unit, zone: zone.clone(), offset_us: 0 };
        let rule = |time| vec![unit_around(unit, &zone, time)];
        check(&Case { grid: WindowGrid::calendar(units), lateness_us, stamps, watermark, rule: &rule }, &rows, size);
        let _ = from;
    }

    #[test]
    fn windows_with_an_offset_and_stamps_at_their_end_are_batch_sql(
        rows in rows(micros("2024-03-01T00:00:00Z")),
        origin_us in -30 * HOUR_US..30 * HOUR_US,
        lateness_us in prop::sample::select(vec![0, 5 * HOUR_US]),
        stamps in prop::sample::select(vec![Stamps::Start, Stamps::End]),
    ) {
        let size_us = 6 * HOUR_US;
        let rule = |time: i64| {
            let start = (time - origin_us).div_euclid(size_us) * size_us + origin_us;
            vec![(start, start + size_us)]
        };
        check(&Case { grid: WindowGrid::fixed(size_us, origin_us), lateness_us, stamps, watermark: Watermark::Partition, rule: &rule }, &rows, 37);
    }

    #[test]
    fn windows_that_overlap_are_batch_sql_over_the_rows_of_each(
        rows in rows(micros("2024-03-01T00:00:00Z")),
        (size, every) in prop::sample::select(vec![(6i64, 1i64), (6, 4), (12, 12), (5, 3), (48, 6)]),
        origin_us in 0..12 * HOUR_US,
        lateness_us in prop::sample::select(vec![0, 5 * HOUR_US]),
        stamps in prop::sample::select(vec![Stamps::Start, Stamps::End]),
        watermark in prop::sample::select(vec![Watermark::Partition, Watermark::Series]),
        batch_rows in prop::sample::select(vec![1usize, 37, 1000]),
    ) {
        let rule = |time: i64| overlapping(time - origin_us, size * HOUR_US, every * HOUR_US)
            .into_iter().map(|(start, end)| (start + origin_us, end + origin_us)).collect();
        let panes = (1..=every).rev().find(|pane| size % pane == 0 && every % pane == 0).unwrap();
        let grid = WindowGrid::fixed(panes * HOUR_US, origin_us).grouped(size / panes, every / panes);
        check(&Case { grid, lateness_us, stamps, watermark, rule: &rule }, &rows, batch_rows);
    }

    #[test]
    fn seven_local_days_every_day_are_batch_sql(
        rows in rows(micros("2024-03-01T00:00:00Z")),
        name in prop::sample::select(vec!["Europe/Berlin", "America/New_York"]),
        lateness_us in prop::sample::select(vec![0, 30 * HOUR_US]),
    ) {
        let zone = zone(name);
        let units = CalendarUnits { unit: CalendarUnit::Days(1), zone: zone.clone(), offset_us: 0 };
        let midnight = |days: i64, time: i64| {
            let day = Timestamp::from_microsecond(time).unwrap().to_zoned_datetime(zone.clone()).date() + days.days();
            day.to_zoned_datetime(zone.clone()).unwrap().start_of_day().unwrap().timestamp().as_microsecond()
        };
        let rule = |time: i64| (-6..=0).map(|day| (midnight(day, time), midnight(day + 7, time))).collect();
        let grid = WindowGrid::calendar(units).grouped(7, 1);
        let (stamps, watermark) = (Stamps::Start, Watermark::Partition);
        check(&Case { grid, lateness_us, stamps, watermark, rule: &rule }, &rows, 37);
    }
}

/// All windows of a size, one every so often from the epoch on, that hold a time.
fn overlapping(time: i64, size_us: i64, every_us: i64) -> Vec<(i64, i64)> {
    let last = time.div_euclid(every_us) * every_us;
    let starts = (0..).map(|n| last - n * every_us).take_while(|start| start + size_us > time);
    let mut windows: Vec<_> = starts.map(|start| (start, start + size_us)).collect();
    windows.reverse();
    windows
}

/// Panes are folded where windows close and at row counts: neither shows batches or restores, also
/// of aggregates whose states round when they are merged.
#[test]
fn panes_do_not_show_batches_or_restores() {
    let rows: Vec<Row> = (0..40_000i64)
        .map(|i| ((i % 3) as u8, i * 300 - i * i % 977 * 1_000, Some((i * 31 % 97) as i32 - 40)))
        .collect();
    let operator = |watermark: Watermark| {
        let (select, plan) = aggregation();
        let kind = WindowKind::Grid(WindowGrid::fixed(1_000_000, 0).grouped(6, 2));
        let (lateness_us, stamps, gaps) = (200_000, Stamps::Start, Gaps::Carry);
        let most_series = usize::MAX;
        let spec = WindowSpec { kind, lateness_us, stamps, watermark, gaps, select, most_series };
        window_operator(&spec, &plan)
    };
    for watermark in [Watermark::Partition, Watermark::Series] {
        let bytes =
            |size: usize, restore: bool| json_of(&fed(|| operator(watermark), &rows, size, restore).1);
        let expected = bytes(40_000, false);
        assert!(expected.len() > 2_000);
        for (size, restore) in [(977, false), (977, true), (8192, true), (4001, true)] {
            assert!(bytes(size, restore) == expected, "{watermark:?}, batches of {size}, restored {restore}");
        }
    }
}

/// Every series has windows of its own, whoever else there is: what comes out is what comes of each
/// alone, in the order of the records that caused it; also where more series come than are kept.
#[test]
fn windows_by_series_do_not_show_the_other_series_batches_or_restores() {
    let rows: Vec<Row> = (0..6_000i64)
        .map(|i| {
            ((i * 31 % 97 % 7) as u8, i * 400_000 - i * i % 5 * 3_000_000, Some((i * 31 % 97) as i32 - 40))
        })
        .collect();
    let tumbling = WindowGrid::fixed(10_000_000, 0);
    let hopping = WindowGrid::fixed(2_500_000, 0).grouped(3, 2);
    by_series_alone_and_together(&tumbling, &Gaps::Carry, &rows);
    by_series_alone_and_together(&hopping, &Gaps::Auto, &rows);
}

fn by_series_alone_and_together(grid: &WindowGrid, gaps: &Gaps, rows: &[Row]) {
    let operator = |most_series: usize| {
        let (select, plan) = aggregation();
        let kind = WindowKind::Grid(grid.clone());
        let (lateness_us, stamps, watermark, gaps) =
            (2_000_000, Stamps::Start, Watermark::Series, gaps.clone());
        let spec = WindowSpec { kind, lateness_us, stamps, watermark, gaps, select, most_series };
        window_operator(&spec, &plan)
    };
    let run = |rows: &[Row], most_series: usize, size: usize, restore: bool| {
        let (windows, out) = fed(|| operator(most_series), rows, size, restore);
        let mut stats = OperatorStats::default();
        windows.report(&mut stats);
        (out, stats)
    };
    let text = |out: &Collected| {
        let late: Vec<i64> = out.rejects.iter().map(|reject| reject.offset.0).collect();
        (json_of(out), late)
    };

    for most_series in [usize::MAX, 4] {
        let (expected, stats) = run(rows, most_series, rows.len(), false);
        assert!(expected.rows.len() > 500 && !expected.rejects.is_empty());
        assert_eq!(stats.series_forgotten > 0, most_series == 4);
        for (size, restore) in [(1, false), (97, true), (1001, true)] {
            let (out, again) = run(rows, most_series, size, restore);
            assert!(text(&out) == text(&expected), "{most_series} series, batches of {size}");
            assert_eq!(again.windows_closed, stats.windows_closed);
        }
    }

    let (together, _) = run(rows, usize::MAX, 97, false);
    let mut alone = Vec::new();
    for name in 0..7 {
        let own: Vec<Row> = rows.iter().copied().filter(|row| row.0 == name).collect();
        if !own.is_empty() {
            alone.extend(rows_of(&run(&own, usize::MAX, 97, false).0.rows));
        }
    }
    alone.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    let mut together = rows_of(&together.rows);
    // Ties of first_value are decided by the place of a row in the stream, which differs.
    for rows in [&mut together, &mut alone] {
        rows.iter_mut().for_each(|row| row.2.truncate(4));
    }
    assert_eq!(together.len(), alone.len());
    assert!(together == alone);
}
