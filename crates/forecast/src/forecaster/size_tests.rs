//! What a series takes in memory, part by part, and that it stays within its bounds.
//!
//! `cargo test -p tickcast-forecast --lib a_series_takes -- --nocapture` prints the tables of
//! `docs/results/scopes.md`.

use super::*;
use crate::heap;
use crate::horizon::Horizon;
use crate::series_forecaster::SeriesForecaster;
use crate::spec::Calendar;

const HOUR_US: i64 = 3_600_000_000;

/// The default experts and network: 6 inputs, two horizons.
fn plain() -> ForecastSpec {
    let mut spec = ForecastSpec::new("x");
    spec.horizons = vec![Horizon(1), Horizon(5)];
    spec
}

/// What `pipelines/weather.yaml` asks for: 26 inputs, 30 features with the phases' means and the
/// constant.
fn weather() -> ForecastSpec {
    let mut spec = ForecastSpec::new("temp");
    spec.features = ["temp", "dewp", "humid", "pressure", "wind"].map(str::to_owned).to_vec();
    spec.horizons = vec![Horizon(1), Horizon(6), Horizon(24)];
    spec.season = Some(24);
    spec.calendar = vec![Calendar::Hour, Calendar::DayOfYear];
    spec.levels = vec![0.5, 0.9];
    spec
}

/// Nobody listens.
struct Nobody;

impl Results for Nobody {
    fn forecast(&mut self, _: &Forecast<'_>) {}

    fn score(&mut self, _: &Score<'_>) {}
}

fn grown(spec: &ForecastSpec, series: u32, windows: i64) -> Forecaster {
    let mut forecaster = Forecaster::new(spec, HOUR_US);
    let names: Vec<String> = (0..series).map(|at| format!("series {at}")).collect();
    let columns = spec.features.len() as i64;
    for window in 0..windows {
        let value = |series: i64, column: i64| {
            let salt = 104_729 * series + 1_299_709 * column;
            let noise = ((window * 7919 + salt) % 1009) as f64 / 504.5;
            noise + (window as f64 * std::f64::consts::TAU / 24.0).sin()
        };
        let row = |at: u32| {
            let values: Vec<f64> = (0..columns).map(|column| value(at.into(), column)).collect();
            WindowRow::observed(at, &names[at as usize], &values)
        };
        forecaster
            .close(ClosedWindow::numbered(window, HOUR_US), (0..series).map(row).collect(), &mut Nobody)
            .unwrap();
    }
    forecaster
}

/// A series' places in the lists by name and by id, about.
const PLACES: u64 = 64;

fn table(name: &str, spec: &ForecastSpec) -> [u64; 2] {
    let ages = [5, 2000];
    let mut forecasters = ages.map(|windows| grown(spec, 1, windows));
    let states =
        forecasters.each_ref().map(|forecaster| state::SeriesState::clone(&forecaster.state.series[0]));
    let mut rows: Vec<(&str, Vec<u64>)> = Vec::new();
    let mut put = |part, of: &dyn Fn(&state::SeriesState) -> u64| {
        rows.push((part, states.iter().map(of).collect()));
    };
    put("the structs of a series", &|_| size_of::<state::SeriesState>() as u64);
    put("values and scales", &|state| heap::of(&state.history));
    put("the network's sequence buffer", &|state| heap::of(&state.buffer));
    for part in SeriesForecaster::PARTS {
        put(part, &|state| state.forecaster.heap(part));
    }

    println!("{name}: bytes of a series");
    println!("| part | after 5 windows | after 2,000 |\n|---|--:|--:|");
    let mut sums = [0; 2];
    for (part, of) in &rows {
        println!("| {part} | {} | {} |", of[0], of[1]);
        sums.iter_mut().zip(of).for_each(|(sum, of)| *sum += of);
    }
    let all = forecasters.each_mut().map(|forecaster| {
        let series = forecaster.state.series.pop();
        PLACES + heap::freed_by(|| drop(series))
    });
    println!("| name, places in lists, room to grow | {} | {} |", all[0] - sums[0], all[1] - sums[1]);
    println!("| all | {} | {} |", all[0], all[1]);
    all
}

#[test]
fn a_series_takes_no_more_memory_than_we_say() {
    let [young, old] = table("6 inputs, horizons 1 and 5", &plain());
    assert!(young <= 6_000 && old <= 8_000, "{young} {old}");
    let [young, old] = table("weather: 26 inputs, horizons 1, 6 and 24", &weather());
    assert!(young <= 18_500 && old <= 28_500, "{young} {old}");
}
