//! A pipeline as a library call, launched on threads of its own.
//! It must not end the process, nor touch its signals: several pipelines can run in one.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tickcast_connect::ingest::{IngestGate, IngestWay};
use tickcast_connect::kafka::{idle_member, member_count};
use tickcast_connect::mqtt::{IngestWatch, ingest_mqtt};
use tickcast_connect::{OpenOptions, PositionBeyondEnd, SourceGroup, Span};
use tickcast_stream::LogChanged;
use tickcast_stream::error::{Error, Kind, OrFail, Result, Retry};
use tickcast_stream::runtime::{
    Backoff, Endpoints, Heartbeat, Job, RunContext, RunOptions, Summary, run_inline, run_threads,
};
use tickcast_stream::telemetry::{Health, HealthPart, Metrics};

use crate::config::Pipeline;
use crate::config::plan::{Delivery, Plan};
use crate::factory::factory_for;
use crate::failure::{Outcome, check_clients, placed};
use crate::renewal::{Term, certificates, together};
use crate::running::{Running, Servers};
use crate::serve::{HttpServer, IngestRoute};

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// Which runner drives the dataflow; nothing of it can be seen in what comes out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Runner {
    /// A reader, workers and a writer, each on a thread.
    #[default]
    Threads,
    /// One loop on one thread.
    Inline,
}

/// How a pipeline is launched.
#[derive(Clone)]
pub struct LaunchOptions {
    /// Which runner drives it.
    pub runner: Runner,
    /// Begin at the source's start where results are there and nothing says how far they go.
    pub bootstrap: bool,
    /// First rebuild the state from the input, up to the last commit.
    pub rebuild: bool,
    /// Records of one batch, at most; none: the source's own choice.
    pub batch_records: Option<usize>,
    /// A directory of this machine that tickcast may keep notes in: the names of instances whose
    /// state is a topic. None: such an instance that is killed is waited for when it comes back.
    pub home: Option<PathBuf>,
    /// Set from outside to end the run in order: commit, snapshot, leave.
    pub stop: Arc<AtomicBool>,
    /// Called with the number of records just worked on.
    pub progress: Arc<dyn Fn(u64) + Send + Sync>,
}

impl Default for LaunchOptions {
    fn default() -> Self {
        LaunchOptions {
            runner: Runner::default(),
            bootstrap: false,
            rebuild: false,
            batch_records: None,
            home: None,
            stop: Arc::default(),
            progress: Arc::new(|_| ()),
        }
    }
}

/// Launches a pipeline. Errors: `Pipeline` for what is wrong with the file and can be seen at once,
/// `Runtime` when it cannot serve; everything else is what [`Running::wait`] returns.
pub fn launch(pipeline: Pipeline, options: LaunchOptions) -> Outcome<Running> {
    check_clients(&pipeline)?;
    let name = pipeline.plan.name.clone();
    let watch = RunContext {
        metrics: Arc::new(metrics(&pipeline.plan)?),
        health: Arc::new(Health::default()),
        stop: Arc::clone(&options.stop),
        progress: Arc::clone(&options.progress),
        pulse: Heartbeat::default(),
    };
    let gate = IngestGate::default();
    let servers = serve(&pipeline.plan, &watch, &gate)?;

    let span = tracing::info_span!("pipeline", name);
    let onlookers = watch.clone();
    let thread = thread::Builder::new()
        .name(format!("pipeline-{name}"))
        .spawn(move || span.in_scope(|| run_with_ingestion(&pipeline, &options, onlookers, &gate)))
        .or_fail(Kind::Io, || "cannot start the pipeline's thread")?;
    Ok(Running { name, watch, servers, thread: Some(thread) })
}

/// Metrics of a pipeline, in which nothing is counted yet. Errors: only by a fault here.
pub fn metrics(plan: &Plan) -> Result<Metrics> {
    if plan.targets.are_several() { Metrics::by_target(&plan.name) } else { Metrics::new(&plan.name) }
}

fn serve(plan: &Plan, watch: &RunContext, gate: &IngestGate) -> Result<Servers> {
    let mut route = plan.ingest.as_ref().and_then(|ingest| match &ingest.way {
        IngestWay::Http(http) => {
            let route = IngestRoute::new(http.clone(), gate.clone(), Arc::clone(&watch.metrics));
            Some((http, route))
        }
        IngestWay::Mqtt(_) => None,
    });
    let mut servers = Servers::default();
    if let Some((http, of_its_own)) = route.take_if(|(http, _)| http.listen.is_some())
        && let Some(address) = http.listen
    {
        let server = HttpServer::start_ingest(address, of_its_own)?;
        tracing::info!("taking records at http://{}{}", server.local_addr(), http.path);
        servers.ingest = Some(server);
    }

    let Some(address) = plan.serve.http else { return Ok(servers) };
    let told = (Arc::clone(&watch.metrics), Arc::clone(&watch.health));
    let path = route.as_ref().map(|(http, _)| &http.path);
    let server =
        HttpServer::start(address, told, &plan.name, route.as_ref().map(|(_, route)| route.clone()))?;
    tracing::info!("serving http://{}", server.local_addr());
    if let Some(path) = path {
        tracing::info!("taking records at http://{}{path}", server.local_addr());
    }
    servers.page = Some(server);
    Ok(servers)
}

/// Runs with the log open that records are pushed into, where they are.
fn run_with_ingestion(
    pipeline: &Pipeline,
    options: &LaunchOptions,
    watch: RunContext,
    gate: &IngestGate,
) -> Outcome<Option<Summary>> {
    let Some(ingest) = &pipeline.plan.ingest else { return run(pipeline, options, watch) };
    let log = patiently(&watch, || {
        let plan = pipeline.plan.clone();
        ingest.log.open(Box::new(move || plan.first_needed()))
    })?;
    let Some(log) = log else { return Ok(None) };
    gate.open(log);

    let stop = Arc::new(AtomicBool::new(false));
    let IngestWay::Mqtt(mqtt) = &ingest.way else {
        let done = run(pipeline, options, watch);
        gate.shut("the pipeline has ended");
        return done;
    };
    let onlookers = IngestWatch {
        metrics: Arc::clone(&watch.metrics),
        health: Arc::clone(&watch.health),
        stop: Arc::clone(&stop),
    };

    let (mqtt, way_in) = (mqtt.clone(), gate.clone());
    let thread = thread::Builder::new()
        .name("mqtt".into())
        .spawn(move || ingest_mqtt(&mqtt, &way_in, &onlookers))
        .or_fail(Kind::Io, || "cannot start the thread of the MQTT client")?;

    let done = run(pipeline, options, watch);
    stop.store(true, Ordering::Relaxed);
    // Its last messages are stored and acknowledged before the log is closed.
    let ended = thread.join();
    gate.shut("the pipeline has ended");
    ended.map_err(|_| Error::new(Kind::Io, "the MQTT client panicked; this is a bug in tickcast"))?;
    done
}

/// Runs until the input ends or it is told to stop; none, when the end came before the beginning.
fn run(pipeline: &Pipeline, options: &LaunchOptions, watch: RunContext) -> Outcome<Option<Summary>> {
    let plan = &pipeline.plan;
    if options.rebuild && !rebuild(pipeline, &watch)? {
        return Ok(None);
    }

    let mut done = None;
    loop {
        let Some(files) = certificates(plan) else { return run_once(pipeline, options, watch) };
        let term = Term::begin(files, plan, &watch)?;
        let ended = run_once(pipeline, options, term.watch(&watch));
        let is_renewed = term.end();

        if !is_renewed || watch.stop.load(Ordering::Relaxed) {
            return ended.map(|after| together(done, after));
        }

        match ended {
            Ok(after) => done = together(done, after),
            // The last commit may not have been let in any more: what is not committed comes again.
            Err(failure) => tracing::warn!(%failure, "the connections of before did not end in order"),
        }
        watch.metrics.certificates_reloaded();
        watch.health.set_waiting(HealthPart::Source, "connections are made anew, with new certificates");
    }
}

/// Runs from the position that is committed until the input ends or it is told to stop.
fn run_once(pipeline: &Pipeline, options: &LaunchOptions, watch: RunContext) -> Outcome<Option<Summary>> {
    let plan = &pipeline.plan;
    let instances = patiently(&watch, || plan.ends().instances(options.home.as_deref()))?;
    let Some(instances) = instances else { return Ok(None) };
    let batch_records = options.batch_records;
    let mut open = plan.source.open(OpenOptions { batch_records, instances, quiet_after: plan.idle })?;
    let factory = placed(pipeline, factory_for(plan, &mut open))?;
    let endpoints = patiently(&watch, || {
        plan.ends().make_topics()?;
        endpoints(plan, &open.group, options.bootstrap, &watch)
    })?;
    let Some(ends) = endpoints else { return Ok(None) };

    let job = Job {
        factory: Arc::new(factory),
        source: open.source,
        ends,
        watch,
        pace: RunOptions {
            workers: plan.workers,
            commit_every: plan.commit_every,
            recover_within: plan.recover_within,
        },
    };
    let summary = match options.runner {
        Runner::Threads => run_threads(job),
        Runner::Inline => run_inline(job),
    };
    Ok(Some(summary.map_err(advised)?))
}

/// A source knows that it cannot go on, and not what to do about it: that depends on the state.
fn advised(error: Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        let beyond = inner.downcast_ref::<PositionBeyondEnd>().map(ToString::to_string);
        let fact = beyond.or(inner.downcast_ref::<LogChanged>().map(ToString::to_string));
        if let Some(fact) = fact {
            let what = format!(
                "{fact} The state was learned from records that are not there. Look at it first; then `run \
                 --rebuild` learns the state from what is there, or, without the old state, `run --bootstrap` begins \
                 at the source's start"
            );
            return Error::new(Kind::State, what);
        }
        cause = inner.source();
    }
    error
}

fn endpoints(
    plan: &Plan,
    group: &Option<Arc<dyn tickcast_connect::kafka::Group>>,
    bootstrap: bool,
    watch: &RunContext,
) -> Result<Endpoints> {
    match plan.delivery {
        Delivery::ExactlyOnce => plan.ends().exactly_once(group.clone(), bootstrap, watch),
        Delivery::AtLeastOnce => plan.ends().at_least_once(watch),
    }
}

/// Rebuilds the state up to the last commit; false, when told to stop before. Errors: also when
/// somebody else runs.
fn rebuild(pipeline: &Pipeline, watch: &RunContext) -> Outcome<bool> {
    let plan = &pipeline.plan;
    if plan.delivery != Delivery::ExactlyOnce {
        let what = "--rebuild needs delivery: exactly_once; otherwise remove the state, and all is read and written \
                    again";
        return Err(Error::new(Kind::State, what).into());
    }

    let mut group = None;
    if let Some(SourceGroup { client, name, .. }) = plan.source.group() {
        let members = member_count(client, name)?;
        if members > 0 {
            let what = format!("--rebuild: {members} instances are in group {name}: stop them first");
            return Err(Error::new(Kind::State, what).into());
        }
        group = Some(idle_member(client, name)?);
    }

    watch.health.set_waiting(HealthPart::Replay, "the state is being rebuilt");
    let mut open = plan.source.open_history(Span::default())?;
    let factory = placed(pipeline, factory_for(plan, &mut open))?;
    let done = tickcast_stream::runtime::rebuild(
        &factory,
        open.source.as_mut(),
        plan.ends().ledger(group, false)?,
        watch,
    )?;
    watch.health.set_ready(HealthPart::Replay);
    if let Some(partitions) = done {
        tracing::info!(partitions, "the state is rebuilt up to the last commit");
    }
    Ok(done.is_some())
}

/// Tries again for as long as that can help: the brokers or the source's topic may be away. None,
/// when told to stop before.
fn patiently<T>(watch: &RunContext, attempt: impl Fn() -> Result<T>) -> Result<Option<T>> {
    let mut pauses = Backoff::growing(FIRST_RETRY, LONGEST_RETRY);
    loop {
        let error = match attempt() {
            Ok(done) => return Ok(Some(done)),
            Err(error) if error.retry == Retry::Later => error,
            Err(error) => return Err(error),
        };
        let Some(pause) = pauses.next() else { return Err(error) };
        tracing::warn!(%error, retry_in = ?pause, "it cannot begin yet");
        watch.health.set_waiting(HealthPart::Source, error.to_string());

        let until = Instant::now() + pause;
        while Instant::now() < until {
            if watch.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}
