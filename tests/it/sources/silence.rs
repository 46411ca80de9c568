//! What the row of a series has that is silent for a whole window.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::pipeline::{Runner, TestPipeline};

const DAYS: u64 = 120;

fn bench(window: &str, forecast: &str) -> TestPipeline {
    TestPipeline::new(&format!(
        "
name: silence
source: {{ file: {{ path: in.ndjson }} }}
key: item
time: at
window: {{ tumbling: 1d, {window} }}
forecast: {{ {forecast}, horizons: [1, 7], experts: [naive, ewma] }}
sinks: {{ forecasts: {{ file: {{ path: out/ }} }}, scores: {{ file: {{ path: out/ }} }}, rejects: {{ file: {{ path: out/ }} }} }}
"
    ))
}

/// What was sold of an item on a day: most days nothing of the second, and of the third only now
/// and then. A clock ticks each day, so that every day closes.
fn sold(item: u64, day: u64) -> Vec<u64> {
    let draw = (day * 7919 + item * 104_729) % 97;
    match item {
        0 => vec![1],
        1 if draw < 30 => vec![draw % 5 + 1, 2],
        2 if draw < 6 => vec![9],
        _ => vec![],
    }
}

fn input() -> String {
    let mut text = String::new();
    for day in 0..DAYS {
        for (item, hour) in [(0, 6), (1, 9), (2, 12)] {
            for qty in sold(item, day) {
                let at = format!("2024-{:02}-{:02}T{hour:02}:00:00Z", 1 + day / 28, 1 + day % 28);
                text.push_str(&format!(
                    "{{\"item\":\"i{item}\",\"at\":\"{at}\",\"qty\":{qty},\"price\":{}}}\n",
                    day % 9
                ));
            }
        }
    }
    text
}

fn lines(bench: &TestPipeline, stream: &str) -> Vec<Value> {
    let text = &bench.out()[&format!("{stream}-0.ndjson")];
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The truths of an item by day, as they were scored.
fn truths(bench: &TestPipeline, item: &str) -> Vec<f64> {
    let scores = lines(bench, "scores");
    let of_item = scores.iter().filter(|score| score["series"] == item && score["horizon"] == 1);
    of_item.map(|score| score["actual"].as_f64().unwrap()).collect()
}

/// The sums of an item from the day after its first sale on, empty days of the calendar included.
fn sums(item: u64) -> Vec<f64> {
    let mut by_day = BTreeMap::new();
    // The months of the input have 28 days each; those between have no record of anybody.
    for day in 0..DAYS {
        let date: jiff::civil::Date =
            format!("2024-{:02}-{:02}", 1 + day / 28, 1 + day % 28).parse().unwrap();
        by_day.insert(date, sold(item, day).iter().sum::<u64>() as f64);
    }
    let (&first, _) = by_day.iter().find(|(_, sum)| **sum > 0.0).unwrap();
    let (&last, _) = by_day.last_key_value().unwrap();
    let days = first.series(jiff::Span::new().days(1)).take_while(|day| *day <= last).skip(1);
    days.map(|day| by_day.get(&day).copied().unwrap_or(0.0)).collect()
}

/// Found by: users' cases. A day without a sale repeated the last sum: together four times what was
/// sold, and only the days with a sale were scored.
#[test]
fn a_day_without_a_sale_is_zero_and_true() {
    for gaps in ["", "gaps: auto, ", "gaps: zero, ", "gaps: { qty: zero }, "] {
        let bench = bench(&format!("{gaps}select: {{ qty: sum(qty), n: count(*) }}"), "target: qty");
        bench.write("in.ndjson", input());
        bench.run(Runner::Inline, 100);
        for item in 0..3 {
            assert_eq!(truths(&bench, &format!("i{item}")), sums(item), "{gaps}{item}");
        }
        let forecasts = lines(&bench, "forecasts");
        assert!(forecasts.iter().all(|forecast| forecast["carried"] == false));
    }
}

/// The mean of nothing is unknown, whatever the counts beside it are: forecasts say that they were
/// made of a repeated value, and it is no truth.
#[test]
fn a_mean_is_carried_and_says_so() {
    let with_counts = "select: { price: avg(price), n: count(*), total: sum(qty) / count(*) }";
    for window in [with_counts.to_owned(), format!("gaps: {{ price: carry }}, {with_counts}")] {
        let bench = bench(&window, "target: price, features: [price, n]");
        bench.write("in.ndjson", input());
        bench.run(Runner::Inline, 100);
        let days_with_sales = (0..DAYS).filter(|&day| !sold(2, day).is_empty()).count();
        let forecasts = lines(&bench, "forecasts");
        let of_item = forecasts.iter().filter(|made| made["series"] == "i2" && made["horizon"] == 1);
        let (carried, observed): (Vec<_>, Vec<_>) = of_item.partition(|made| made["carried"] == true);
        assert_eq!((observed.len(), carried.len()), (days_with_sales, sums(2).len() + 1 - days_with_sales));
        assert_eq!(truths(&bench, "i2").len(), days_with_sales - 1);
    }
}

#[test]
fn without_a_row_there_is_nothing_of_a_silent_series() {
    let bench = bench("gaps: skip, select: { qty: sum(qty) }", "target: qty");
    bench.write("in.ndjson", input());
    bench.run(Runner::Inline, 100);
    let days_with_sales = (0..DAYS).filter(|&day| !sold(2, day).is_empty()).count();
    let forecasts = lines(&bench, "forecasts");
    let of_item = forecasts.iter().filter(|made| made["series"] == "i2" && made["horizon"] == 1);
    assert_eq!(of_item.count(), days_with_sales);
}
