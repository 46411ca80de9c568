//! `run`: a pipeline until its input ends or a signal comes.
//! It must not know how records flow; it opens the ends and starts a runner.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Outcome, check_clients, placed};
use crate::config::Pipeline;
use crate::config::plan::{KafkaClientPlan, Plan, SourcePlan};
use crate::error::{Error, Kind, Result, Retry};
use crate::ingest::{FileSource, GeneratedSource, KafkaSource, Source};
use crate::kafka::{ensure_topic, mismatch, partition_count};
use crate::runtime::{Blueprint, Job, Known, Outputs, Pace, Summary, Watch, on_signal, run_threads};
use crate::serve::{Health, HttpServer, Metrics, Part};

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

pub fn run(pipeline: Pipeline) -> Outcome {
    let plan = &pipeline.plan;
    check_clients(&pipeline)?;
    let watch = watch(plan, Arc::new(|_| ()))?;
    let server = serve(plan, &watch)?;
    let started = Instant::now();
    let summary = start(&pipeline, watch.clone())?;
    let bounded = !matches!(plan.source, SourcePlan::Kafka(_));
    if let (Some(summary), true) = (summary, bounded) {
        eprintln!("{}", watch.metrics.rejects());
        eprintln!(
            "{}",
            watch.metrics.scoreboard().render(summary.windows, summary.records, started.elapsed())
        );
    }
    if let Some(server) = server {
        server.stop();
    }
    Ok(())
}

/// Who looks on, with the signals bound to its stop flag.
pub fn watch(plan: &Plan, progress: Arc<dyn Fn(u64) + Send + Sync>) -> Result<Watch> {
    let stop = Arc::new(AtomicBool::new(false));
    on_signal(&stop)?;
    Ok(Watch {
        metrics: Arc::new(Metrics::new(&plan.name)?),
        health: Arc::new(Health::default()),
        stop,
        progress,
    })
}

pub fn serve(plan: &Plan, watch: &Watch) -> Result<Option<HttpServer>> {
    let Some(address) = plan.serve.http else { return Ok(None) };
    let server =
        HttpServer::start(address, Arc::clone(&watch.metrics), Arc::clone(&watch.health), &plan.name)?;
    tracing::info!("serving http://{}", server.local_addr());
    Ok(Some(server))
}

/// Runs the pipeline on threads; nothing, when the end came before the beginning.
pub fn start(pipeline: &Pipeline, watch: Watch) -> Outcome<Option<Summary>> {
    let plan = &pipeline.plan;
    let unread = || placed(pipeline, Blueprint::new(plan.clone(), Known::default()));
    let (blueprint, source): (Blueprint, Box<dyn Source>) = match &plan.source {
        SourcePlan::File(file) => {
            let mut source = FileSource::open(file)?;
            (placed(pipeline, Blueprint::for_file(plan.clone(), &mut source))?, Box::new(source))
        }
        SourcePlan::Generate(generate) => (unread()?, Box::new(GeneratedSource::new(generate))),
        SourcePlan::Kafka(kafka) => (unread()?, Box::new(KafkaSource::open(kafka)?)),
    };
    if !topics_are_there(plan, &watch)? {
        return Ok(None);
    }
    let job = Job {
        blueprint: Arc::new(blueprint),
        source,
        outputs: Outputs::open(plan, &watch.patience())?,
        watch,
        pace: Pace {
            workers: plan.workers,
            commit_every: plan.commit_every,
            snapshot_every: plan.snapshot_every,
        },
    };
    Ok(Some(run_threads(job)?))
}

/// Waits for the brokers and the source's topic, and makes the sinks' topics; false, when told to stop before.
fn topics_are_there(plan: &Plan, watch: &Watch) -> Result<bool> {
    let mut wait = FIRST_RETRY;
    loop {
        match make_topics(plan) {
            Ok(()) => return Ok(true),
            Err(error) if error.retry == Retry::Later => {
                tracing::warn!(%error, retry_in = ?wait, "waiting for Kafka");
                watch.health.set_waiting(Part::Source, error.to_string());
            }
            Err(error) => return Err(error),
        }
        let until = Instant::now() + wait;
        while Instant::now() < until {
            if watch.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        wait = (wait * 2).min(LONGEST_RETRY);
    }
}

/// Errors: `Sink`, when a topic has not as many partitions as the source: records keep their partition's number.
fn make_topics(plan: &Plan) -> Result<()> {
    let wanted = match &plan.source {
        SourcePlan::Kafka(kafka) => partition_count(&kafka.client, &kafka.topic)?
            .ok_or_else(|| no_topic(&kafka.client, &kafka.topic))?,
        SourcePlan::Generate(generate) => generate.partitions,
        SourcePlan::File(_) => 1,
    };
    for (_, client, topic) in plan.sinks.topics() {
        ensure_topic(client, topic, wanted)?;
        let found = partition_count(client, topic)?.ok_or_else(|| no_topic(client, topic))?;
        if found != wanted {
            return Err(Error::new(Kind::Sink, mismatch(topic, found, wanted)));
        }
    }
    Ok(())
}

fn no_topic(client: &KafkaClientPlan, topic: &str) -> Error {
    Error::transient(Kind::Source, format!("topic {topic} does not exist at {}", client.brokers))
}
