//! A source of one's own: a type that says what the source is (`SourceKind`), and one that is read
//! (`Source`). It takes the place of the source in the pipeline file; all else stays as it is.
//!
//!     cargo run --example own_source [DIRECTORY]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tickcast::config::Pipeline;
use tickcast::{LaunchOptions, launch};
use tickcast_connect::{OpenOptions, OpenSource, SourceKind, SourceSpec, SourceTraits, Span, WireFormat};
use tickcast_stream::message::{RawRecord, Records};
use tickcast_stream::source::{Event, Source};
use tickcast_stream::{Offset, PartitionId, Result};

/// Windows of ten minutes over the temperature of one machine; every path is below the directory.
const PIPELINE: &str = "
name: machines
source: { generate: {} }   # Machines take its place.
key: machine
time: at
window: { tumbling: 10m }
forecast: { target: temperature, horizons: [1, 6], season: 144, model: { hidden: 8 } }
sinks:
  forecasts: { file: { path: out/ } }
  scores: { file: { path: out/ } }
state: { dir: state/ }
";

/// A reading a minute, for two weeks.
const READINGS: Offset = Offset(14 * 24 * 60);
const BATCH: usize = 1000;

/// What the source is. A run asks before it opens it.
#[derive(Debug)]
struct Machines;

impl SourceKind for Machines {
    fn traits(&self) -> SourceTraits {
        SourceTraits {
            is_bounded: true,
            leaves_open: false,
            is_shared: false,
            is_replayable: true,
            has_past: false,
            has_timestamps: false,
            label: "machines".to_owned(),
            identity: "machines".to_owned(),
            format: Some(WireFormat::Json),
        }
    }

    fn partitions(&self) -> Result<i32> {
        Ok(1)
    }

    fn open(&self, _: OpenOptions) -> Result<OpenSource> {
        Ok(OpenSource::of(Readings::default()))
    }

    fn open_history(&self, _: Span) -> Result<OpenSource> {
        Ok(OpenSource::of(Readings::default()))
    }
}

/// The number of its one partition.
const ONLY: PartitionId = PartitionId(0);

/// The source as it is read.
#[derive(Default)]
struct Readings {
    is_assigned: bool,
    is_paused: bool,
    /// The next record; none before the start and after the end.
    next: Option<Offset>,
}

impl Source for Readings {
    fn poll(&mut self, timeout: Duration) -> Result<Event> {
        if !self.is_assigned {
            self.is_assigned = true;
            return Ok(Event::Assigned(vec![ONLY]));
        }

        match self.next {
            Some(first) if !self.is_paused && first < READINGS => {
                let next = first.plus(BATCH).min(READINGS);
                self.next = Some(next);
                let records = Records::Raw((first.0..next.0).map(reading).collect());
                Ok(Event::Records { partition: ONLY, records })
            }
            Some(READINGS) if !self.is_paused => {
                self.next = None;
                Ok(Event::End { partition: ONLY })
            }
            _ => {
                std::thread::sleep(timeout);
                Ok(Event::Idle { problem: None })
            }
        }
    }

    /// Where the last run's commit ended, or at the beginning.
    fn start(&mut self, _partition: PartitionId, position: Option<Offset>) -> Result<()> {
        self.next = Some(position.unwrap_or(Offset(0)));
        Ok(())
    }

    fn set_paused(&mut self, _partition: PartitionId, is_paused: bool) -> Result<()> {
        self.is_paused = is_paused;
        Ok(())
    }
}

/// A machine that warms up by day and cools down by night.
fn reading(minute: i64) -> RawRecord {
    let day = std::f64::consts::TAU * minute as f64 / (24.0 * 60.0);
    let temperature = 60.0 + 8.0 * day.sin() + (0.37 * minute as f64).sin();
    let (days, hours, minutes) = (minute / 1440 + 1, minute / 60 % 24, minute % 60);
    let json = format!(
        r#"{{"machine": "press", "at": "2026-01-{days:02}T{hours:02}:{minutes:02}:00Z", "temperature": {temperature}}}"#
    );
    RawRecord { offset: Offset(minute), payload: Some(json.into()), ..RawRecord::default() }
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let dir = std::env::args().nth(1).map_or_else(|| scratch.path().to_owned(), PathBuf::from);

    let mut pipeline = Pipeline::from_yaml(PIPELINE, &dir)?;
    pipeline.plan.source = SourceSpec::Custom(Arc::new(Machines));

    let started = Instant::now();
    let mut running = launch(pipeline, LaunchOptions::default())?;
    let summary = running.finish()?.unwrap_or_default();
    println!(
        "{}",
        running.metrics().scoreboard().render(summary.windows, summary.records, started.elapsed())
    );
    println!("{} forecasts in {}", summary.forecasts, dir.join("out").display());
    Ok(())
}
