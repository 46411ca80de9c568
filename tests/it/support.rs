//! What the tests share: pipelines in a temporary directory, runs of them, and what they wrote.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tickcast::config::plan::SourcePlan;
use tickcast::config::{self, Pipeline};
use tickcast::ingest::{FileSource, GeneratedSource, KafkaSource, Source};
use tickcast::runtime::{Blueprint, Ends, Job, Known, Pace, Summary, Watch, run_inline, run_threads};
use tickcast::serve::{Health, Metrics};

/// How a pipeline is run; nothing of it may be seen in what comes out.
#[derive(Debug, Clone, Copy)]
pub enum Runner {
    Inline,
    Threads(usize),
}

/// A pipeline in a directory of its own, with `out/` as the place of its results.
pub struct Bench {
    pub dir: TempDir,
    yaml: String,
}

impl Bench {
    pub fn new(yaml: &str) -> Self {
        Bench { dir: tempfile::tempdir().unwrap(), yaml: yaml.to_owned() }
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
        let watch = watch(
            stop,
            Arc::new(move |new| {
                if records.is_some_and(|limit| seen.fetch_add(new, Ordering::Relaxed) + new >= limit) {
                    flag.store(true, Ordering::Relaxed);
                }
            }),
        );
        run(&self.load(), runner, batch, watch).unwrap()
    }

    /// The Kafka source of the pipeline.
    pub fn kafka(&self) -> tickcast::config::plan::KafkaSourcePlan {
        match self.load().plan.source {
            SourcePlan::Kafka(kafka) => kafka,
            other => panic!("no Kafka source: {other:?}"),
        }
    }

    /// The files below `out/`, by name.
    pub fn out(&self) -> BTreeMap<String, String> {
        read_dir(&self.path("out"))
    }

    pub fn clear(&self) {
        for dir in ["out", "state"] {
            let _ = fs::remove_dir_all(self.path(dir));
        }
    }
}

pub fn read_dir(dir: &Path) -> BTreeMap<String, String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect()
}

pub fn watch(stop: Arc<AtomicBool>, progress: Arc<dyn Fn(u64) + Send + Sync>) -> Watch {
    Watch {
        metrics: Arc::new(Metrics::new("test").unwrap()),
        health: Arc::new(Health::default()),
        stop,
        progress,
        pulse: Default::default(),
    }
}

pub fn run(
    pipeline: &Pipeline,
    runner: Runner,
    batch: usize,
    watch: Watch,
) -> tickcast::error::Result<Summary> {
    let plan = &pipeline.plan;
    let mut group = None;
    let (source, blueprint): (Box<dyn Source>, _) = match &plan.source {
        SourcePlan::File(file) => {
            let mut source = FileSource::open(file)?.with_batch_records(batch);
            let blueprint = Blueprint::for_file(plan.clone(), &mut source)?;
            (Box::new(source), blueprint)
        }
        SourcePlan::Generate(generate) => (
            Box::new(GeneratedSource::new(generate).with_batch_records(batch)),
            Blueprint::new(plan.clone(), Known::default())?,
        ),
        SourcePlan::Kafka(kafka) => {
            let source = KafkaSource::open(kafka)?.with_batch_records(batch);
            group = Some(source.group());
            (Box::new(source), Blueprint::new(plan.clone(), Known::default())?)
        }
    };
    let workers = if let Runner::Threads(workers) = runner { workers } else { 1 };
    let job = Job {
        blueprint: Arc::new(blueprint),
        source,
        ends: Ends::open(plan, group, &watch, false)?,
        watch,
        pace: Pace { workers, commit_every: Duration::from_millis(20), snapshot_every: plan.snapshot_every },
    };
    match runner {
        Runner::Inline => run_inline(job),
        Runner::Threads(_) => run_threads(job),
    }
}

/// Lines of a file sink's NDJSON.
pub fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

impl Bench {
    /// Lines of a file below `out/`.
    pub fn out_lines(&self, name: &str) -> usize {
        lines(&fs::read_to_string(self.path("out").join(name)).unwrap()).len()
    }
}
