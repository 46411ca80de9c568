//! Opens what the plan names at the end of the dataflow, and partitions as they go on from there.
//! It must not write: what it opens does.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::blueprint::Blueprint;
use super::exactly_once::{ExactlyOnce, Lost};
use super::outputs::{AtLeastOnce, Durable, Outputs, Store};
use super::partition::Partition;
use super::watch::Watch;
use crate::config::plan::{
    Delivery, KafkaClientPlan, KafkaSourcePlan, Plan, SinkFileFormat, SinkPlan, SourcePlan, StatePlan,
};
use crate::error::{Error, Kind, Result};
use crate::kafka::{Group, idle_member};
use crate::ledger::{
    Audit, Claim, Commit, Committer, DirLedger, Entry, FilesAudit, FilesLedger, Hold, KafkaAudit,
    KafkaLedger, Lock, Recover, StateTopic, StateWriter,
};
use crate::message::Stream;
use crate::sink;

/// Where a pipeline's results and states go, and come back from.
pub struct Ends {
    pub recover: Box<dyn Recover>,
    pub outputs: Box<dyn Outputs>,
    pub durable: Durable,
    pub lost: Lost,
    /// Others may run on the same state, none may change it from outside.
    pub(super) lock: Option<Lock>,
}

impl Ends {
    /// `group`: the source's place in its consumer group, if it has one. `bootstrap`: begin anew where there are results
    /// and nobody remembers how far they go. Errors: `Retry::Later` while no broker answers.
    pub fn open(plan: &Plan, group: Option<Arc<dyn Group>>, watch: &Watch, bootstrap: bool) -> Result<Ends> {
        let (durable, lost) = (Durable::default(), Lost::default());
        let mut lock = None;
        if let Some(StatePlan::Dir(dir)) = &plan.state {
            lock = Some(DirLedger::open(dir)?.lock(Hold::Shared)?);
        }
        let (recover, outputs): (_, Box<dyn Outputs>) = match plan.delivery {
            Delivery::ExactlyOnce => {
                let (recover, commit) = exact(plan, group, bootstrap)?;
                let committer = Committer::new(commit);
                let (patience, metrics) = (watch.patience(), Arc::clone(&watch.metrics));
                (recover, Box::new(ExactlyOnce::new(committer, patience, metrics, lost.clone())))
            }
            Delivery::AtLeastOnce => {
                let sinks = sink::open_all(plan, &watch.patience())?;
                let metrics = Arc::clone(&watch.metrics);
                let outputs = AtLeastOnce { sinks, store: store(plan)?, durable: durable.clone(), metrics };
                (Box::new(Newest::of(plan)?), Box::new(outputs))
            }
        };
        Ok(Ends { recover, outputs, durable, lost, lock })
    }

    /// These ends, with nobody else around: for ledgers of a simulation.
    pub fn over(recover: Box<dyn Recover>, commit: Box<dyn Commit>, watch: &Watch) -> Ends {
        let lost = Lost::default();
        let (committer, metrics) = (Committer::new(commit), Arc::clone(&watch.metrics));
        let outputs = ExactlyOnce::new(committer, watch.patience(), metrics, lost.clone());
        Ends { recover, outputs: Box::new(outputs), durable: Durable::default(), lost, lock: None }
    }
}

fn store(plan: &Plan) -> Result<Option<Store>> {
    Ok(match &plan.state {
        Some(StatePlan::Dir(dir)) => Some(Store::Dir(DirLedger::open(dir)?)),
        Some(StatePlan::Kafka { client, topic }) => Some(Store::Topic(StateWriter::open(client, topic)?)),
        None => None,
    })
}

fn directories(plan: &Plan) -> Vec<(Stream, PathBuf, SinkFileFormat)> {
    let directory = |stream| match plan.sinks.of(stream) {
        Some(SinkPlan::File { dir, format }) => Some((stream, dir.clone(), *format)),
        _ => None,
    };
    Stream::ALL.into_iter().filter_map(directory).collect()
}

/// What an audit of a plan with `delivery: exactly_once` reads.
pub fn audit(plan: &Plan) -> Result<Box<dyn Audit>> {
    Ok(match &plan.state {
        Some(StatePlan::Kafka { client, topic }) => {
            Box::new(KafkaAudit(kafka_ledger(plan, client, topic, None, false)?))
        }
        Some(StatePlan::Dir(dir)) => {
            Box::new(FilesAudit { state: DirLedger::open(dir)?, outputs: directories(plan) })
        }
        None => return Err(no_state()),
    })
}

fn no_state() -> Error {
    Error::new(Kind::State, "exactly once needs a state")
}

/// The ledger of a plan whose ends can all take part in one commit.
pub fn exact(
    plan: &Plan,
    group: Option<Arc<dyn Group>>,
    bootstrap: bool,
) -> Result<(Box<dyn Recover>, Box<dyn Commit>)> {
    match &plan.state {
        Some(StatePlan::Dir(dir)) => {
            let ledger = FilesLedger {
                state: DirLedger::open(dir)?,
                outputs: directories(plan),
                shared: matches!(plan.source, SourcePlan::Kafka(_)),
                bootstrap,
            };
            ledger.open()
        }
        Some(StatePlan::Kafka { client, topic }) => {
            kafka_ledger(plan, client, topic, group, bootstrap)?.open()
        }
        None => Err(no_state()),
    }
}

/// The ledger of a pipeline whose state is a topic.
pub fn kafka_ledger(
    plan: &Plan,
    client: &KafkaClientPlan,
    state: &str,
    group: Option<Arc<dyn Group>>,
    bootstrap: bool,
) -> Result<KafkaLedger> {
    let topics = plan.sinks.topics().map(|(stream, _, topic)| (stream, topic.to_owned())).collect();
    let (offsets, group_id, id) = match &plan.source {
        SourcePlan::Kafka(kafka) => {
            (kafka.topic.clone(), kafka.group.clone(), format!("{}-{}", kafka.group, instance(kafka)))
        }
        _ => (state.to_owned(), plan.name.clone(), format!("tickcast-{}", plan.name)),
    };
    let group = match group {
        Some(group) => group,
        None => idle_member(client, &group_id)?,
    };
    Ok(KafkaLedger {
        client: client.clone(),
        topics,
        state: state.to_owned(),
        offsets,
        group,
        group_id,
        id,
        shared: matches!(plan.source, SourcePlan::Kafka(_)),
        bootstrap,
    })
}

/// A name for this instance's transactions: the one it is known by in its group, where it has one, so that a restart ends
/// at once what it had left open. Otherwise one that no other has: who takes its partitions over ends it.
fn instance(kafka: &KafkaSourcePlan) -> String {
    let fixed = kafka.client.properties.iter().find(|(name, _)| name == "group.instance.id");
    match fixed {
        Some((_, id)) => id.clone(),
        None => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            format!("{:x}-{:x}", std::process::id(), now.map_or(0, |now| now.as_micros()))
        }
    }
}

/// What delivery at least once goes on from: the newest state there is.
enum Newest {
    Dir(DirLedger),
    Topic(StateTopic),
    None,
}

impl Newest {
    fn of(plan: &Plan) -> Result<Self> {
        Ok(match &plan.state {
            Some(StatePlan::Dir(dir)) => Newest::Dir(DirLedger::open(dir)?),
            Some(StatePlan::Kafka { client, topic }) => Newest::Topic(StateTopic::new(client, topic)),
            None => Newest::None,
        })
    }
}

impl Recover for Newest {
    fn take_over(&mut self, _: i32) -> Result<Option<Entry>> {
        Ok(None)
    }

    fn claim(&mut self, partition: i32) -> Result<Claim> {
        let snapshot = match self {
            Newest::Dir(dir) => dir.load(partition)?,
            Newest::Topic(topic) => topic.load(partition, None)?,
            Newest::None => None,
        };
        Ok(Claim { entry: None, snapshot })
    }

    fn warm_start(&self) -> Result<Option<Vec<u8>>> {
        match self {
            Newest::Dir(dir) => dir.warm_start(),
            _ => Ok(None),
        }
    }
}

/// A partition as it goes on: restored from a snapshot, or new.
pub struct Opened {
    pub partition: Partition,
    /// Where to read from; none: where the source remembers, or its start.
    pub position: Option<i64>,
    pub entry: Option<Entry>,
    /// Whether earlier results stay.
    pub resume: bool,
}

/// Claims a partition, and builds it as the ledger remembers it. `extent`: the records that can be read now. Errors: those
/// of the ledger, and `State`, when records that have to be read again are gone.
pub fn open_partition(
    blueprint: &Blueprint,
    recover: &mut dyn Recover,
    id: i32,
    extent: impl FnOnce() -> Result<Option<Range<i64>>>,
    watch: &Watch,
) -> Result<Opened> {
    let from = Instant::now();
    let claim = recover.claim(id)?;
    let mut partition = match recover.warm_start()? {
        // Once there is a state, series that are still to come begin with these weights.
        Some(weights) => blueprint.warm_partition(id, &weights)?,
        None => blueprint.partition(id)?,
    };
    let is_known = claim.entry.is_some() || claim.snapshot.is_some();
    let position = match is_known {
        true => go_on(&mut partition, &claim, extent)?,
        false => {
            begin(&mut partition, blueprint, extent)?;
            None
        }
    };
    if let Some(position) = position {
        let to = claim.entry.map(|entry| entry.progress.position);
        tracing::info!(partition = id, from = position, to, took = ?from.elapsed(), "restored");
        if !partition.is_replaying() {
            watch.metrics.restored(from.elapsed());
        }
    }
    // A file read from its beginning writes its results anew; a topic may have been read before by this group.
    let resume = is_known || matches!(blueprint.plan.source, SourcePlan::Kafka(_));
    Ok(Opened { partition, position, entry: claim.entry, resume })
}

/// A partition of which nothing is known: it has a past, where the pipeline is to learn that first.
fn begin(
    partition: &mut Partition,
    blueprint: &Blueprint,
    extent: impl FnOnce() -> Result<Option<Range<i64>>>,
) -> Result<()> {
    if !blueprint.is_warm() {
        return Ok(());
    }
    let Some(Range { start, end }) = extent()? else { return Ok(()) };
    partition.begin_warm(start, end);
    if start < end {
        let (id, records) = (partition.id(), end - start);
        tracing::info!(
            partition = id,
            records,
            live = end,
            "learning the past; forecasts begin where it ends"
        );
    }
    Ok(())
}

/// Brings a partition to where its claim says: where to read from.
fn go_on(
    partition: &mut Partition,
    claim: &Claim,
    extent: impl FnOnce() -> Result<Option<Range<i64>>>,
) -> Result<Option<i64>> {
    let id = partition.id();
    let progress = claim.entry.map(|entry| entry.progress);
    if let Some(snapshot) = &claim.snapshot {
        let at_end = progress.is_none_or(|progress| progress.position == snapshot.position);
        partition.restore(snapshot, at_end)?;
    }
    let at = claim.snapshot.as_ref().map(|snapshot| snapshot.position);
    let Some(progress) = progress else { return Ok(at) };
    let committed = progress.position;
    let position = at.unwrap_or(progress.begun);
    if at.is_some() && position > committed {
        let what =
            format!("partition {id}: its state is of position {position}, but only {committed} is committed");
        return Err(Error::new(Kind::State, what));
    }
    partition.mute_until(progress);
    if position < committed
        && let Some(Range { start: first, .. }) = extent()?
        && first > position
    {
        let what = format!(
            "partition {id}: records {position} to {} have to be read again to restore its state, but the first that \
             is still there is {first}; `run --reset-state` learns anew",
            committed - 1
        );
        return Err(Error::new(Kind::State, what));
    }
    Ok(Some(position))
}
