//! `demo`: a bundled year of New York's hourly weather through pipelines/weather.yaml, then a
//! scoreboard.
//! It must not need a broker or a checkout: pipeline, schema and data are in the binary.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use tickcast_stream::error::{Kind, OrFail, Result};

use super::progress::styled;
use super::say::{say, tell};
use super::signals::on_signal;
use crate::config;
use crate::failure::Outcome;
use crate::launch::{LaunchOptions, launch};

const PIPELINE: &str = include_str!("../../pipelines/weather.yaml");
const SCHEMA: &str = include_str!("../../schemas/observation.avsc");
const DATA: &[u8] = include_bytes!("../../pipelines/data/nyc-weather.csv.gz");

/// What the demo changes in the pipeline file: the bundled file in place of Kafka.
const SETS: [&str; 3] = [
    "source={file: {path: data/nyc-weather.csv.gz}, schema: ../schemas/observation.avsc}",
    "sinks={forecasts: {file: {path: ../out/}}, scores: {file: {path: ../out/}}, rejects: {file: {path: ../out/}}}",
    "state={dir: ../state}",
];

/// Runs the bundled pipeline over the bundled year and shows how good it was. With `keep_serving`
/// it goes on serving until a signal.
pub fn demo(sets: &[String], keep_serving: bool) -> Outcome {
    let dir = tempfile::tempdir().or_fail(Kind::Io, || "cannot make a temporary directory")?;
    let path = unpack(dir.path())?;
    let serving = (!keep_serving).then(|| "serve={}".to_owned());
    let own = SETS.iter().map(|set| (*set).to_owned()).chain(serving);
    let all: Vec<String> = own.chain(sets.iter().cloned()).collect();
    let pipeline = config::load(&path, &all)?;

    let bar = progress_bar(records()?);
    let watched = bar.clone();
    let stop = Arc::new(AtomicBool::new(false));
    on_signal(&stop)?;
    let started = Instant::now();
    let options = LaunchOptions {
        stop: Arc::clone(&stop),
        progress: Arc::new(move |records| watched.inc(records)),
        ..LaunchOptions::default()
    };
    let mut running = launch(pipeline, options)?;
    let summary = running.finish()?.unwrap_or_default();
    bar.finish_and_clear();

    say("New York's hourly weather of 2013, three airports: temperature in °F, forecast as it came in\n")?;
    say(&running.metrics().scoreboard().render(summary.windows, summary.records, started.elapsed()))?;
    if let Some(address) = running.http_addr() {
        tell(&format!("serving http://{address} until Ctrl-C"));
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    running.wait()?;
    Ok(())
}

/// Lays the bundled files out as they are in the repository.
fn unpack(dir: &Path) -> Result<PathBuf> {
    let pipeline = dir.join("pipelines/weather.yaml");
    let files: [(PathBuf, &[u8]); 3] = [
        (pipeline.clone(), PIPELINE.as_bytes()),
        (dir.join("schemas/observation.avsc"), SCHEMA.as_bytes()),
        (dir.join("pipelines/data/nyc-weather.csv.gz"), DATA),
    ];
    for (path, bytes) in files {
        let parent = path.parent().unwrap_or(dir);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, bytes))
            .or_fail(Kind::Io, || format!("cannot unpack {}", path.display()))?;
    }
    Ok(pipeline)
}

/// Records in the bundled file: its lines but the header.
fn records() -> Result<u64> {
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(DATA)
        .read_to_end(&mut text)
        .or_fail(Kind::Source, || "the bundled data are damaged")?;
    Ok((text.iter().filter(|&&byte| byte == b'\n').count() as u64).saturating_sub(1))
}

fn progress_bar(records: u64) -> ProgressBar {
    styled(ProgressBar::new(records), "{bar:40} {pos}/{len} ticks  {per_sec}  {eta} left")
}

#[cfg(test)]
mod tests {
    use tickcast_connect::{SourceSpec, StateSpec};

    use super::*;
    use crate::config::plan::Delivery;

    #[test]
    fn the_demo_is_exactly_once_without_a_broker() {
        let dir = tempfile::tempdir().unwrap();
        let path = unpack(dir.path()).unwrap();
        let sets = SETS.map(str::to_owned);
        let plan = config::load(&path, &sets).unwrap_or_else(|faults| panic!("{faults}")).plan;
        assert_eq!(plan.delivery, Delivery::ExactlyOnce);
        assert!(matches!(plan.source, SourceSpec::File(_)) && matches!(plan.state, Some(StateSpec::Dir(_))));
        assert_eq!(plan.ends().topics_written().count(), 0);
        let written = config::load(&path, &[]).unwrap_or_else(|faults| panic!("{faults}")).plan;
        assert_eq!((written.delivery, written.ends().topics_written().count()), (Delivery::ExactlyOnce, 4));
    }
}
