//! Forecasts a CSV file of `time,series,value`, hour by hour, and measures what came true:
//! `cargo run --release --example forecast_a_csv -- FILE`. Without a file it makes a sample.
//!
//! `time` is like 2026-01-31T12:00:00Z, ascending. The value of an hour is the mean of its values.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;

use tickcast_forecast::{
    Calendar, ClosedWindow, CollectedScore, ForecastSpec, Forecaster, Horizon, WindowRow, week_of,
};

const HOUR_US: i64 = 3_600_000_000;

/// The values of each series in one hour, by the series' index in the order of appearance.
type Hour = BTreeMap<u32, Vec<f64>>;

/// Hours by their number since 1970, and the names of the series.
struct Table {
    hours: BTreeMap<i64, Hour>,
    names: Vec<String>,
}

/// Sums over the scores of one horizon.
#[derive(Default)]
struct Measure {
    scores: u32,
    error: f64,
    naive_error: f64,
    intervals: u32,
    held: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let text = match std::env::args().nth(1) {
        Some(path) => std::fs::read_to_string(path)?,
        None => sample()?,
    };
    let table = read(&text)?;

    let mut spec = ForecastSpec::new("value");
    spec.horizons = vec![Horizon(1), Horizon(6), Horizon(24)];
    spec.season = Some(24);
    spec.levels = vec![0.9];
    spec.calendar = vec![Calendar::Hour, Calendar::DayOfWeek];
    spec.week = week_of(&spec.calendar, HOUR_US);

    println!("{:>7} {:>9} {:>9} {:>9} {:>7} {:>9}", "horizon", "scores", "MAE", "naive", "skill", "coverage");
    for (horizon, measure) in forecast(&spec, &table)? {
        let count = f64::from(measure.scores);
        let (mae, naive) = (measure.error / count, measure.naive_error / count);
        let skill = 100.0 * (1.0 - mae / naive);
        let coverage = 100.0 * f64::from(measure.held) / f64::from(measure.intervals);
        println!(
            "{horizon:>5} h {:>9} {mae:>9.3} {naive:>9.3} {skill:>5.1} % {coverage:>7.1} %",
            measure.scores
        );
    }
    println!("skill: 1 - MAE / naive MAE; coverage of the 90 % interval; both from the first hour on");
    Ok(())
}

/// Feeds every hour, and returns the measures of each horizon.
fn forecast(spec: &ForecastSpec, table: &Table) -> Result<BTreeMap<Horizon, Measure>, Box<dyn Error>> {
    let mut forecaster = Forecaster::new(spec, HOUR_US);
    let mut measures: BTreeMap<Horizon, Measure> = BTreeMap::new();
    for (&number, hour) in &table.hours {
        // In the order in which the series first appeared.
        let row = |(&id, values): (&u32, &Vec<f64>)| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            WindowRow::observed(id, &table.names[id as usize], &[mean])
        };
        let rows = hour.iter().map(row).collect();

        let results = forecaster.collect(ClosedWindow::numbered(number, HOUR_US), rows)?;
        for score in &results.scores {
            measures.entry(score.horizon).or_default().add(score);
        }
    }
    Ok(measures)
}

impl Measure {
    fn add(&mut self, score: &CollectedScore) {
        self.scores += 1;
        self.error += score.abs_error();
        self.naive_error += score.naive_abs_error();
        if let Some(is_covered) = score.is_covered(0) {
            self.intervals += 1;
            self.held += u32::from(is_covered);
        }
    }
}

/// Puts the lines into hours. A first line without a number is a header.
fn read(text: &str) -> Result<Table, Box<dyn Error>> {
    let mut table = Table { hours: BTreeMap::new(), names: Vec::new() };
    for (at, line) in text.lines().enumerate() {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let [time, series, value] = fields[..] else {
            return Err(format!("line {}: not time,series,value", at + 1).into());
        };
        let Ok(value) = value.parse::<f64>() else {
            if at == 0 {
                continue;
            }
            return Err(format!("line {}: {value} is no number", at + 1).into());
        };

        let time: jiff::Timestamp = time.parse()?;
        let number = time.as_microsecond().div_euclid(HOUR_US);
        let known = table.names.iter().position(|name| name == series);
        let id = known.unwrap_or_else(|| {
            table.names.push(series.to_owned());
            table.names.len() - 1
        });
        table.hours.entry(number).or_default().entry(id as u32).or_default().push(value);
    }
    Ok(table)
}

/// Two sensors over six weeks: a day, a working week, a slow drift, and noise.
fn sample() -> Result<String, std::fmt::Error> {
    let start: i64 = 1_767_571_200; // Monday, 2026-01-05.
    let mut text = "time,series,value\n".to_owned();
    let mut drift = 0.0;
    for hour in 0..24 * 42 {
        let noise = |salt: i64| ((hour * 7919 + salt * 104_729) % 1009) as f64 / 504.5 - 1.0;
        drift += 0.2 * noise(1);
        let day = (std::f64::consts::TAU * hour as f64 / 24.0).sin();
        let is_weekend = (hour / 24) % 7 >= 5;

        let time = jiff::Timestamp::from_second(start + 3600 * hour).unwrap_or_default();
        let load = 40.0 + drift + day * if is_weekend { 4.0 } else { 12.0 } + noise(2);
        let temperature = 8.0 + 5.0 * day + 0.3 * drift + 0.5 * noise(3);
        writeln!(text, "{time},load,{load:.3}\n{time},temperature,{temperature:.3}")?;
    }
    Ok(text)
}
