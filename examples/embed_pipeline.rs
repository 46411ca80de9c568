//! Two pipelines inside a program: one ends with its input, the other is stopped.
//!
//!     cargo run --example embed_pipeline

use std::error::Error;
use std::thread::sleep;
use std::time::Duration;

use tickcast::config::Pipeline;
use tickcast::{LaunchOptions, launch};

/// It ends by itself.
const MARKET: &str = "
name: market
source: { generate: { process: market, series: 20, ticks: 200000 } }
window: { tumbling: 1m, select: { price: last_value(price ORDER BY time) } }
forecast: { target: price, model: { hidden: 8 } }
sinks: { forecasts: { file: { path: market/ } } }
";

/// It has more ticks than anybody waits for.
const WEATHER: &str = "
name: weather
source: { generate: { process: weather, series: 5, ticks: 1000000000, rate: 2000 } }
window: { tumbling: 1h }
forecast: { target: temp, horizons: [1, 6], season: 24, model: { hidden: 8 } }
sinks: { forecasts: { file: { path: weather/ } } }
";

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let start = |text| launch(Pipeline::from_yaml(text, dir.path())?, LaunchOptions::default());
    let market = start(MARKET)?;
    let weather = start(WEATHER)?;

    while !market.is_finished() {
        println!("{}: {:?}, {}: {:?}", market.name(), market.status(), weather.name(), weather.status());
        sleep(Duration::from_millis(250));
    }
    let done = market.wait()?.unwrap_or_default();
    println!("market has ended: {} records, {} forecasts", done.records, done.forecasts);

    // What /metrics would serve; a pipeline has metrics of its own.
    let metrics = weather.metrics().text();
    for line in metrics.lines().filter(|line| line.starts_with("tickcast_windows_closed_total")) {
        println!("{line}");
    }
    weather.stop();
    let done = weather.wait()?.unwrap_or_default();
    println!("weather was stopped: {} records, {} forecasts", done.records, done.forecasts);
    Ok(())
}
