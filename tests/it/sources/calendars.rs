//! Windows of the calendar as people meet them: months, weeks, local days, readings stamped at
//! their end. Each is a case that went wrong with windows of one length in UTC.

use tickcast::config;

use crate::support::pipeline::{Runner, TestPipeline};

/// A pipeline over `in.csv` that sums `value` over windows.
fn summing(window: &str) -> TestPipeline {
    selecting("sum(value)", window)
}

fn selecting(value: &str, window: &str) -> TestPipeline {
    TestPipeline::new(&format!(
        "
source: {{ file: {{ path: in.csv }} }}
key: series
time: time
window: {{ {window}, select: {{ value: {value} }} }}
forecast: {{ target: value, experts: [naive] }}
sinks: {{ forecasts: {{ file: {{ path: out/ }} }}, scores: {{ file: {{ path: out/ }} }}, rejects: {{ file: {{ path: out/ }} }} }}
"
    ))
}

/// A closed window as its forecast shows it.
#[derive(Debug, PartialEq)]
struct Shown {
    start: String,
    issued_at: String,
    target_time: String,
    value: f64,
}

/// Every closed window of a run over lines of series, time and value.
fn windows_of(window: &str, lines: impl IntoIterator<Item = (String, f64)>) -> Vec<Shown> {
    let bench = summing(window);
    let lines: String = lines.into_iter().map(|(time, value)| format!("a,{time},{value}\n")).collect();
    bench.write("in.csv", format!("series,time,value\n{lines}"));
    bench.run(Runner::Inline, 100);
    let out = bench.out();
    assert!(out.get("rejects-0.ndjson").is_none_or(String::is_empty));

    let shown = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let (start, issued_at, target_time) = (text("window_start"), text("issued_at"), text("target_time"));
        Shown { start, issued_at, target_time, value: row["naive"].as_f64().unwrap() }
    };
    out["forecasts-0.ndjson"].lines().map(shown).collect()
}

fn of(start: &str, issued_at: &str, target_time: &str, value: f64) -> Shown {
    let midnight = |text: &str| if text.contains('T') { text.into() } else { format!("{text}T00:00:00Z") };
    Shown {
        start: midnight(start),
        issued_at: midnight(issued_at),
        target_time: midnight(target_time),
        value,
    }
}

/// With `30d`, of eleven years of monthly revenue two months were added here and there, and other
/// windows were empty.
#[test]
fn every_month_is_a_window_of_its_own() {
    let months = (0..132).map(|n| (format!("{}-{:02}-01", 2005 + n / 12, n % 12 + 1), f64::from(100 + n)));
    let shown = windows_of("tumbling: 1mo", months);
    assert_eq!(shown.len(), 132);
    let values: Vec<f64> = shown.iter().map(|window| window.value).collect();
    assert_eq!(values, (0..132).map(|n| f64::from(100 + n)).collect::<Vec<_>>());
    assert_eq!(shown[1], of("2005-02-01", "2005-03-01", "2005-04-01", 101.0));
    assert_eq!(shown[131], of("2015-12-01", "2016-01-01", "2016-02-01", 231.0));
    assert_eq!(shown[37], of("2008-02-01", "2008-03-01", "2008-04-01", 137.0), "with a leap day");
}

#[test]
fn quarters_and_years_are_of_whole_months() {
    let months = || (0..24).map(|n| (format!("{}-{:02}-15", 2023 + n / 12, n % 12 + 1), 1.0));
    let quarters = windows_of("tumbling: 1q", months());
    assert_eq!(quarters.len(), 8);
    assert!(quarters.iter().all(|quarter| quarter.value == 3.0));
    assert_eq!(quarters[4], of("2024-01-01", "2024-04-01", "2024-07-01", 3.0));
    assert_eq!(
        windows_of("tumbling: 1y", months()),
        [
            of("2023-01-01", "2024-01-01", "2025-01-01", 12.0),
            of("2024-01-01", "2025-01-01", "2026-01-01", 12.0)
        ]
    );
}

fn day(n: i64) -> String {
    (jiff::civil::date(2024, 1, 1) + jiff::SignedDuration::from_hours(24 * n)).to_string()
}

/// Windows of `7d` begin on Thursdays, as the Unix epoch did: a shop's week is another one.
#[test]
fn weeks_begin_on_mondays_and_seven_days_at_the_epoch() {
    let days = || (0..119).map(|n| (day(n), (n / 7 + 1) as f64));
    let weeks = windows_of("tumbling: 1w", days());
    let values: Vec<f64> = weeks.iter().map(|week| week.value).collect();
    assert_eq!(values, (1..=17).map(|week| f64::from(week * 7)).collect::<Vec<_>>());
    assert_eq!(weeks[0], of("2024-01-01", "2024-01-08", "2024-01-15", 7.0));
    assert_eq!(windows_of("tumbling: 7d", days())[0].start, "2023-12-28T00:00:00Z");
    // Weeks that begin on Fridays, and sevens of days that begin on Mondays.
    assert_eq!(windows_of("tumbling: 1w, offset: -3d", days())[1].start, "2024-01-05T00:00:00Z");
    assert_eq!(windows_of("tumbling: 7d, offset: 4d", days()), weeks);
}

/// One kWh an hour: a day has as many as it has hours.
fn hourly(from: &str, hours: i64) -> impl Iterator<Item = (String, f64)> {
    let from: jiff::Timestamp = from.parse().unwrap();
    (0..hours).map(move |n| ((from + jiff::SignedDuration::from_hours(n)).to_string(), 1.0))
}

#[test]
fn local_days_have_23_and_25_hours_where_the_clock_changes() {
    let spring = windows_of("tumbling: 1d, zone: America/New_York", hourly("2024-03-08T05:00:00Z", 119));
    let at = |day: u32, hour: u32| format!("2024-03-{day:02}T{hour:02}:00:00Z");
    let expected = [(8, 5, 24.0), (9, 5, 24.0), (10, 5, 23.0), (11, 4, 24.0), (12, 4, 24.0)];
    let found: Vec<(String, f64)> = spring.iter().map(|day| (day.start.clone(), day.value)).collect();
    assert_eq!(found, expected.map(|(day, hour, value)| (at(day, hour), value)));
    // Saturday's forecast is of Sunday, which ends an hour earlier.
    assert_eq!((&spring[1].issued_at, &spring[1].target_time), (&at(10, 5), &at(11, 4)));

    let autumn = windows_of("tumbling: 1d, zone: Europe/Vienna", hourly("2021-10-29T22:00:00Z", 73));
    assert_eq!(autumn.iter().map(|day| day.value).collect::<Vec<_>>(), [24.0, 25.0, 24.0]);
    let gas = windows_of("tumbling: 1d, zone: Europe/Berlin, offset: 6h", hourly("2024-03-29T05:00:00Z", 71));
    assert_eq!(gas.iter().map(|day| day.value).collect::<Vec<_>>(), [24.0, 23.0, 24.0]);
    assert_eq!(gas[2].start, "2024-03-31T04:00:00Z", "six on the local clock");
}

/// Hours are hours in every zone: the day of 25 has 25 windows.
#[test]
fn windows_shorter_than_a_day_are_the_same_in_every_zone() {
    let hours = || hourly("2021-10-30T22:00:00Z", 25);
    let local = windows_of("tumbling: 1h, zone: Europe/Vienna", hours());
    assert_eq!(local.len(), 25);
    assert_eq!(local, windows_of("tumbling: 1h", hours()));
}

/// A meter writes at midnight what it counted in the half hour before.
#[test]
fn readings_stamped_at_the_end_of_their_interval_belong_to_the_day_before_midnight() {
    let half_hours = (1..=336).map(|n| {
        let time = jiff::civil::date(2024, 1, 1).at(0, 0, 0, 0) + jiff::SignedDuration::from_mins(30 * n);
        (time.strftime("%Y-%m-%d %H:%M:%S").to_string(), ((n - 1) / 48 + 1) as f64)
    });
    let shown = windows_of("tumbling: 1d, stamps: end", half_hours);
    let found: Vec<(&str, f64)> = shown.iter().map(|day| (&day.start[..10], day.value)).collect();
    let expected: Vec<(String, f64)> = (0..7).map(|n| (day(n), 48.0 * (n + 1) as f64)).collect();
    assert_eq!(found, expected.iter().map(|(day, value)| (day.as_str(), *value)).collect::<Vec<_>>());
    assert_eq!((shown[0].issued_at.as_str(), shown.len()), ("2024-01-02T00:00:00Z", 7));
}

/// A silent month is carried by the calendar too, and a late record is told which window it missed.
#[test]
fn silent_months_are_carried_and_late_records_are_told_their_month() {
    let bench = summing("tumbling: 1mo, zone: Europe/Berlin, stamps: end");
    let lines = "a,2024-01-10,1\na,2024-04-10,2\na,2024-04-10,2\na,2024-02-29,4\n";
    bench.write("in.csv", format!("series,time,value\n{lines}"));
    bench.run(Runner::Inline, 100);
    let out = bench.out();
    assert_eq!(out["forecasts-0.ndjson"].lines().count(), 4, "January to April");
    let window = "its window (2024-01-31T23:00:00Z, 2024-02-29T23:00:00Z] has closed";
    assert!(out["rejects-0.ndjson"].contains(window), "{}", out["rejects-0.ndjson"]);
}

/// A window that overlaps with others and has no row of its own repeats the last: some accumulators
/// can say nothing of no group at all, and ended the run.
#[test]
fn a_silence_longer_than_overlapping_windows_is_carried() {
    let bench = selecting("median(value)", "hopping: { size: 1m, every: 15s }");
    let lines = "a,2024-01-01T00:00:00Z,1\na,2024-01-01T00:05:00Z,2\na,2024-01-01T00:05:00Z,2\n";
    bench.write("in.csv", format!("series,time,value\n{lines}"));
    bench.run(Runner::Inline, 100);
    // From the minute that ends at 00:00:15 to the one that ends at 00:06.
    assert_eq!(bench.out_lines("forecasts-0.ndjson"), 24);
}

/// What the page shows runs: each of its pipelines forecasts from the weather that comes with it.
#[test]
fn every_pipeline_of_the_page_on_windows_runs() {
    let page = std::fs::read_to_string("docs/windows.md").unwrap();
    let pipelines: Vec<&str> =
        page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(pipelines.len() >= 4);
    for pipeline in pipelines {
        let own = "experts: [naive, ewma] }\nsinks: { forecasts: { file: { path: out/ } } }\n";
        let quick = pipeline.trim_end().strip_suffix('}').unwrap();
        let bench = TestPipeline::new(&format!("{}, {own}", quick.trim_end()));
        std::fs::create_dir(bench.path("data")).unwrap();
        std::fs::copy("pipelines/data/nyc-weather.csv.gz", bench.path("data/nyc-weather.csv.gz")).unwrap();
        config::load(&bench.write("as-shown.yaml", pipeline), &[])
            .unwrap_or_else(|faults| panic!("{faults}"));
        bench.run(Runner::Inline, 4096);
        assert!(bench.out_lines("forecasts-0.ndjson") >= 36, "{pipeline}");
    }
}

/// The first fault of a pipeline with this window.
fn fault(window: &str) -> String {
    let bench = summing(window);
    let faults = config::load(&bench.file(), &[]).err().unwrap_or_else(|| panic!("{window} is taken"));
    let text = faults.to_string();
    text[text.find("pipeline.yaml").unwrap()..].to_owned()
}

#[test]
fn windows_that_mean_no_one_thing_are_refused_by_name() {
    let cases = [
        (
            "tumbling: 2w",
            "5:11: window.tumbling: 2w: which weeks go together is not said (write 1w, or 14d and offset)",
        ),
        (
            "tumbling: 5mo",
            "5:11: window.tumbling: 5mo: a year has no whole number of them (write 1mo, 2mo, 1q, 4mo, 6mo or 1y)",
        ),
        (
            "tumbling: 2y",
            "5:11: window.tumbling: 2y: a year has no whole number of them (write 1mo, 2mo, 1q, 4mo, 6mo or 1y)",
        ),
        (
            "tumbling: 1mo 2d",
            "5:11: window.tumbling: \"1mo 2d\" is no whole number of one unit of the calendar (write it like 1w, 1mo, 1q or 1y)",
        ),
        (
            "tumbling: 1d, zone: Europe/Berln",
            "5:25: window.zone: no time zone \"Europe/Berln\"; did you mean \"Europe/Berlin\"?",
        ),
        ("tumbling: 1d, zone: xx", "5:25: window.zone: no time zone \"xx\" (write it like Europe/Berlin)"),
        (
            "tumbling: 36h, zone: Europe/Berlin",
            "5:26: window.zone: on a local clock windows of 36h are no whole days (write whole days like 2d, or leave zone out)",
        ),
        (
            "tumbling: 6h, zone: Europe/Berlin",
            "5:25: window.zone: windows of 6h cannot begin at the same local times all year (zone is for days and longer; leave it out, and write offset to move where windows begin)",
        ),
        (
            "tumbling: 1h, zone: Asia/Kolkata",
            "5:25: window.zone: windows of 1h cannot begin at the same local times all year (zone is for days and longer; leave it out, and write offset to move where windows begin)",
        ),
        ("tumbling: 1d, offset: 400d", "5:25: window.offset: \"400d\" is too long, at most 366d"),
        ("tumbling: 1d, offset: -400d", "5:25: window.offset: \"-400d\" is too short, at least -366d"),
    ];
    for (window, expected) in cases {
        assert_eq!(fault(window), format!("pipeline.yaml:{expected}"), "{window}");
    }
}

/// One device sends every minute, another a day's readings at once when it is back in reach. By the
/// partition's times all of the second's are late.
#[test]
fn by_series_a_device_that_sends_late_is_not_late() {
    let minutes = |name: &'static str, from: i64| {
        (0..120).map(move |n| format!("{name},{},1\n", (1_704_067_200 + (from + n) * 60) * 1_000_000))
    };
    let lines: String = minutes("near", 0).chain(minutes("far", -600)).chain(minutes("near", 120)).collect();
    let run = |watermark: &str| {
        let bench = summing(&format!("tumbling: 1h, watermark: {watermark}"));
        bench.write("in.csv", format!("series,time,value\n{lines}"));
        bench.run(Runner::Inline, 7);
        bench.out()
    };
    let by_partition = run("partition");
    assert_eq!(by_partition["rejects-0.ndjson"].lines().count(), 120);

    let by_series = run("series");
    assert!(by_series.get("rejects-0.ndjson").is_none_or(String::is_empty));
    let windows = |name: &str| {
        let of_series = |line: &&str| line.contains(&format!(r#""series":"{name}""#));
        let lines: Vec<&str> = by_series["forecasts-0.ndjson"].lines().filter(of_series).collect();
        assert!(lines.iter().all(|line| line.contains(r#""naive":60.0"#)), "{lines:?}");
        lines.len()
    };
    assert_eq!([windows("near"), windows("far")], [4, 2]);
}
