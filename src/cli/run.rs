//! `run`: a pipeline until its input ends or a signal comes.
//! It must not know how records flow; it opens the ends and starts a runner.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;

use super::{Outcome, check_clients, history, placed};
use crate::config::Pipeline;
use crate::config::plan::{Delivery, KafkaClientPlan, Plan, SourcePlan, StatePlan};
use crate::error::{Error, Kind, Result, Retry};
use crate::ingest::{FileSource, GeneratedSource, KafkaSource, Source};
use crate::kafka::{ensure_topic, grow_topic, idle_member, member_count, mismatch, partition_count};
use crate::ledger::TOPIC_SETTINGS;
use crate::runtime::{
    Blueprint, Ends, Job, Known, Pace, Summary, Watch, exact, on_signal, relearn, run_threads,
};
use crate::serve::{Health, HttpServer, Metrics, Part};
use crate::sink::Pulse;

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// How a run begins.
#[derive(Args, Default)]
pub struct Beginning {
    /// Begin at the source's start where results are there and nothing says how far they go (offsets have expired, or the
    /// group is another one). Some results may be written again.
    #[arg(long)]
    pub bootstrap: bool,
    /// First learn anew: read the whole input up to the last commit again, in silence, under the pipeline file as it is
    /// now, and put what is learned in place of the state. Results go on after the last commit. No other instance may run.
    #[arg(long)]
    pub reset_state: bool,
}

pub fn run(pipeline: Pipeline, beginning: &Beginning) -> Outcome {
    let plan = &pipeline.plan;
    check_clients(&pipeline)?;
    let watch = watch(plan, Arc::new(|_| ()))?;
    let server = serve(plan, &watch)?;
    let started = Instant::now();
    let summary = start(&pipeline, watch.clone(), beginning)?;
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
        pulse: Pulse::default(),
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
pub fn start(pipeline: &Pipeline, watch: Watch, beginning: &Beginning) -> Outcome<Option<Summary>> {
    let plan = &pipeline.plan;
    if beginning.reset_state && !reset_state(pipeline, &watch)? {
        return Ok(None);
    }
    let mut group = None;
    let unread = || placed(pipeline, Blueprint::new(plan.clone(), Known::default()));
    let (blueprint, source): (Blueprint, Box<dyn Source>) = match &plan.source {
        SourcePlan::File(file) => {
            let mut source = FileSource::open(file)?;
            (placed(pipeline, Blueprint::for_file(plan.clone(), &mut source))?, Box::new(source))
        }
        SourcePlan::Generate(generate) => (unread()?, Box::new(GeneratedSource::new(generate))),
        SourcePlan::Kafka(kafka) => {
            let source = KafkaSource::open(kafka)?;
            group = Some(source.group());
            (unread()?, Box::new(source))
        }
    };
    let ends = patiently(&watch, || {
        make_topics(plan)?;
        Ends::open(plan, group.clone(), &watch, beginning.bootstrap)
    })?;
    let Some(ends) = ends else { return Ok(None) };
    let job = Job {
        blueprint: Arc::new(blueprint),
        source,
        ends,
        watch,
        pace: Pace {
            workers: plan.workers,
            commit_every: plan.commit_every,
            snapshot_every: plan.snapshot_every,
        },
    };
    Ok(Some(run_threads(job)?))
}

/// Learns anew up to the last commit; false, when told to stop before. Errors: also when somebody else runs.
fn reset_state(pipeline: &Pipeline, watch: &Watch) -> Outcome<bool> {
    let plan = &pipeline.plan;
    if plan.delivery != Delivery::ExactlyOnce {
        let what = "--reset-state needs delivery: exactly_once; otherwise remove the state, and all is read and written \
                    again";
        return Err(Error::new(Kind::State, what).into());
    }
    let mut group = None;
    if let SourcePlan::Kafka(kafka) = &plan.source {
        let members = member_count(&kafka.client, &kafka.group)?;
        if members > 0 {
            let what =
                format!("--reset-state: {members} instances are in group {}: stop them first", kafka.group);
            return Err(Error::new(Kind::State, what).into());
        }
        group = Some(idle_member(&kafka.client, &kafka.group)?);
    }
    watch.health.set_waiting(Part::Replay, "learning anew");
    let (blueprint, mut source) = history::open(pipeline)?;
    let done = relearn(&blueprint, source.as_mut(), exact(plan, group, false)?, watch)?;
    watch.health.set_ready(Part::Replay);
    if let Some(partitions) = done {
        tracing::info!(partitions, "the state is learned anew up to the last commit");
    }
    Ok(done.is_some())
}

/// Tries again for as long as that can help: the brokers or the source's topic may be away. None, when told to stop before.
fn patiently<T>(watch: &Watch, attempt: impl Fn() -> Result<T>) -> Result<Option<T>> {
    let mut wait = FIRST_RETRY;
    loop {
        match attempt() {
            Ok(done) => return Ok(Some(done)),
            Err(error) if error.retry == Retry::Later => {
                tracing::warn!(%error, retry_in = ?wait, "waiting for Kafka");
                watch.health.set_waiting(Part::Source, error.to_string());
            }
            Err(error) => return Err(error),
        }
        let until = Instant::now() + wait;
        while Instant::now() < until {
            if watch.stop.load(Ordering::Relaxed) {
                return Ok(None);
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
    let is_state =
        |topic: &str| matches!(&plan.state, Some(StatePlan::Kafka { topic: state, .. }) if state == topic);
    for (_, client, topic) in plan.topics_written() {
        let settings: &[(&str, &str)] = if is_state(topic) { &TOPIC_SETTINGS } else { &[] };
        ensure_topic(client, topic, wanted, settings)?;
        let found = partition_count(client, topic)?.ok_or_else(|| no_topic(client, topic))?;
        // A topic that is read may have grown; how many a generator has is a choice, which may be a mistake.
        if found < wanted && matches!(plan.source, SourcePlan::Kafka(_)) {
            grow_topic(client, topic, wanted)?;
        } else if found != wanted {
            return Err(Error::new(Kind::Sink, mismatch(topic, found, wanted)));
        }
    }
    Ok(())
}

fn no_topic(client: &KafkaClientPlan, topic: &str) -> Error {
    Error::transient(Kind::Source, format!("topic {topic} does not exist at {}", client.brokers))
}
