//! A pipeline in a temporary directory, runs of it within the test's process, and the files that it
//! wrote.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tickcast::config::{self, Pipeline};
use tickcast::{Failure, LaunchOptions, Running, launch};
use tickcast_connect::{KafkaSourceSpec, SourceSpec};
use tickcast_stream::runtime::{RunContext, Summary};
use tickcast_stream::telemetry::{Health, Metrics};

/// How a pipeline is run; nothing of it may be seen in what comes out.
#[derive(Debug, Clone, Copy)]
pub enum Runner {
    Inline,
    Threads(usize),
}

/// A pipeline in a directory of its own, with `out/` as the place of its results.
pub struct TestPipeline {
    pub dir: TempDir,
    yaml: String,
}

impl TestPipeline {
    pub fn new(yaml: &str) -> Self {
        TestPipeline { dir: tempfile::tempdir().unwrap(), yaml: yaml.to_owned() }
    }

    /// With another key at the end of the file.
    pub fn with(mut self, line: &str) -> Self {
        self.yaml.push_str(&format!("{line}\n"));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The pipeline file on disk.
    pub fn file(&self) -> PathBuf {
        self.write("pipeline.yaml", &self.yaml)
    }

    pub fn load(&self) -> Pipeline {
        config::load(&self.file(), &[]).unwrap_or_else(|faults| panic!("{faults}"))
    }

    /// Runs to the end of the input.
    pub fn run(&self, runner: Runner, batch: usize) -> Summary {
        self.run_until(runner, batch, None)
    }

    /// Runs until about `records` were read, then asks for an orderly end.
    pub fn run_until(&self, runner: Runner, batch: usize, records: Option<u64>) -> Summary {
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, flag) = (AtomicU64::new(0), Arc::clone(&stop));
        let progress = Arc::new(move |new| {
            if records.is_some_and(|limit| seen.fetch_add(new, Ordering::Relaxed) + new >= limit) {
                flag.store(true, Ordering::Relaxed);
            }
        });
        run(&self.load(), runner, batch, stop, progress).unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// The Kafka source of the pipeline.
    pub fn kafka(&self) -> KafkaSourceSpec {
        match self.load().plan.source {
            SourceSpec::Kafka(kafka) => kafka,
            other => panic!("no Kafka source: {other:?}"),
        }
    }

    /// The files below `out/`, by name.
    pub fn out(&self) -> BTreeMap<String, String> {
        read_dir(&self.path("out"))
    }

    /// How many lines a file below `out/` has.
    pub fn out_lines(&self, name: &str) -> usize {
        fs::read_to_string(self.path("out").join(name)).unwrap().lines().count()
    }

    /// Whether a snapshot is in `state/`.
    pub fn has_snapshot(&self) -> bool {
        let files = fs::read_dir(self.path("state")).into_iter().flatten().flatten();
        files.into_iter().any(|file| file.path().extension().is_some_and(|end| end == "snapshot"))
    }

    pub fn clear(&self) {
        for dir in ["out", "state"] {
            let _ = fs::remove_dir_all(self.path(dir));
        }
    }
}

/// The files of a directory but the hidden ones, as a query's glob sees them.
pub fn read_dir(dir: &Path) -> BTreeMap<String, String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.'))
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect()
}

pub fn watch(stop: Arc<AtomicBool>, progress: Arc<dyn Fn(u64) + Send + Sync>) -> RunContext {
    RunContext {
        metrics: Arc::new(Metrics::new("test").unwrap()),
        health: Arc::new(Health::default()),
        stop,
        progress,
        pulse: Default::default(),
    }
}

/// Called with the number of records just worked on.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// Launches a pipeline whose commits are frequent.
pub fn start(
    pipeline: &Pipeline,
    runner: Runner,
    batch: usize,
    stop: Arc<AtomicBool>,
    progress: Progress,
) -> Result<Running, Failure> {
    let mut pipeline = pipeline.clone();
    pipeline.plan.commit_every = Duration::from_millis(20);
    let runner = match runner {
        Runner::Inline => tickcast::launch::Runner::Inline,
        Runner::Threads(workers) => {
            pipeline.plan.workers = workers;
            tickcast::launch::Runner::Threads
        }
    };
    let options =
        LaunchOptions { runner, batch_records: Some(batch), stop, progress, ..LaunchOptions::default() };
    launch(pipeline, options)
}

/// Runs a pipeline to its end.
pub fn run(
    pipeline: &Pipeline,
    runner: Runner,
    batch: usize,
    stop: Arc<AtomicBool>,
    progress: Progress,
) -> Result<Summary, Failure> {
    Ok(start(pipeline, runner, batch, stop, progress)?.wait()?.unwrap_or_default())
}
