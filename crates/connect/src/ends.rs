//! Both ends of a pipeline together: what one commit spans, and how its ledger is opened.
//! It must not write: what it opens does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::ledger::{Audit, Commit, Recover, SnapshotStore};
use tickcast_stream::message::Stream;
use tickcast_stream::record::RecordShape;
use tickcast_stream::runtime::{Endpoints, RunContext};

use crate::durable_dir::make_dir;
use crate::encode::Numbering;
use crate::kafka::{Group, KafkaClientSpec, KafkaTopicSpec, Life, idle_member};
use crate::ledger::{
    FilesAudit, FilesLedger, Hold, KafkaAudit, KafkaLedger, Owner, ResultTopic, SnapshotDir, StateTopicStore,
    seen_from,
};
use crate::sink::{KafkaSinkSpec, SinkFileFormat};
use crate::spec::{SinkSpecs, SourceSpec, StateSpec};

/// What a pipeline reads and writes.
#[derive(Clone, Copy)]
pub struct PipelineEnds<'a> {
    /// The pipeline's name.
    pub name: &'a str,
    /// Where its records come from.
    pub source: &'a SourceSpec,
    /// Where its results go.
    pub sinks: &'a SinkSpecs,
    /// Where its states go; none: nothing survives a restart.
    pub state: Option<&'a StateSpec>,
    /// What its results have.
    pub shape: RecordShape<'a>,
}

impl<'a> PipelineEnds<'a> {
    /// Every topic that is written, with the key of the file that it belongs to: `sinks.scores`,
    /// `state`.
    pub fn topics_written(self) -> impl Iterator<Item = (String, &'a KafkaTopicSpec)> {
        let state = self.state.and_then(StateSpec::topic).map(|topic| ("state".to_owned(), topic));
        let sinks = self.sinks.topics();
        sinks.map(|(stream, topic)| (format!("sinks.{}", stream.name()), topic)).chain(state)
    }

    /// For delivery exactly once: results, states and positions in one commit. `group`: the
    /// source's place in its consumer group, if it has one. `bootstrap`: whether to begin anew
    /// where there are results and no commit says how far they go. Errors: `Retry::Later` while no
    /// broker answers.
    pub fn exactly_once(
        self,
        group: Option<Arc<dyn Group>>,
        bootstrap: bool,
        watch: &RunContext,
    ) -> Result<Endpoints> {
        let guard = self.guard()?;
        let (recover, commit) = self.ledger(group, bootstrap)?;
        Ok(Endpoints { guard, ..Endpoints::exactly_once(recover, commit, watch) })
    }

    /// For delivery at least once. Errors: the sinks' and the state's.
    pub fn at_least_once(self, watch: &RunContext) -> Result<Endpoints> {
        let guard = self.guard()?;
        self.own_directories()?;
        let patience = watch.patience();
        let sinks = self
            .sinks
            .all()
            .map(|(stream, sink)| Ok((stream, sink.open(stream, &self.shape.schema(stream), &patience)?)));
        let sinks = sinks.collect::<Result<Vec<_>>>()?;
        let ends = Endpoints::at_least_once(sinks, self.states()?, watch);
        Ok(Endpoints { guard, ..ends })
    }

    /// A directory that keeps the names of this pipeline's instances: the state's, where it is one,
    /// or else one in `home`, which belongs to this machine. Only a source with a group needs it.
    /// Errors: `State`, when the state is another pipeline's.
    pub fn instances(self, home: Option<&Path>) -> Result<Option<PathBuf>> {
        if self.source.group().is_none() {
            return Ok(None);
        }
        match self.state {
            Some(StateSpec::Dir(dir)) => {
                self.own_directories()?;
                Ok(Some(dir.clone()))
            }
            _ => Ok(home.map(|home| home.join(self.name))),
        }
    }

    /// The ledger of ends that can all take part in one commit. Errors: as
    /// [`PipelineEnds::exactly_once`].
    pub fn ledger(
        self,
        group: Option<Arc<dyn Group>>,
        bootstrap: bool,
    ) -> Result<(Box<dyn Recover>, Box<dyn Commit>)> {
        self.own_directories()?;

        match self.state {
            Some(StateSpec::Dir(dir)) => {
                let ledger = FilesLedger {
                    state: SnapshotDir::open(dir)?,
                    outputs: self.directories(),
                    shared: self.source.traits().is_shared,
                    bootstrap,
                    source: group.zip(self.source.group().map(|group| group.topic.to_owned())),
                };
                ledger.open()
            }
            Some(StateSpec::Kafka(state)) => {
                self.transactions(state, group, bootstrap, Numbering::Register)?.open()
            }
            None => Err(no_state()),
        }
    }

    /// What an audit of delivery exactly once reads. Errors: `State`, when there is no state.
    pub fn audit(self) -> Result<Box<dyn Audit>> {
        Ok(match self.state {
            Some(StateSpec::Kafka(state)) => {
                Box::new(KafkaAudit::new(self.transactions(state, None, false, Numbering::LookUp)?))
            }
            Some(StateSpec::Dir(dir)) => {
                Box::new(FilesAudit { state: SnapshotDir::open(dir)?, outputs: self.directories() })
            }
            None => return Err(no_state()),
        })
    }

    /// The ledger of a pipeline whose state is a topic. Errors: `Config`, when no client can be
    /// made; those of a schema registry.
    pub fn transactions(
        self,
        state: &KafkaTopicSpec,
        group: Option<Arc<dyn Group>>,
        bootstrap: bool,
        numbering: Numbering,
    ) -> Result<KafkaLedger> {
        let life = group.as_ref().and_then(|group| group.life());
        let (offsets, group_id, id, former) = match self.source.group() {
            Some(group) => {
                let Life { id, former } = life.unwrap_or_else(|| life_of(group.client));
                let named = |life| format!("{}-{life}", group.name);
                (group.topic.to_owned(), group.name.to_owned(), named(id), former.map(named))
            }
            None => (state.topic.clone(), self.name.to_owned(), format!("tickcast-{}", self.name), None),
        };
        let group = match group {
            Some(group) => group,
            None => idle_member(&state.client, &group_id)?,
        };

        Ok(KafkaLedger {
            pipeline: self.name.to_owned(),
            client: state.client.clone(),
            topics: self.result_topics(numbering)?,
            state: state.topic.clone(),
            offsets,
            group,
            group_id,
            id,
            former,
            shared: self.source.traits().is_shared,
            bootstrap,
        })
    }

    /// The topics of its results, and what makes their records.
    fn result_topics(self, numbering: Numbering) -> Result<Vec<ResultTopic>> {
        let topic = |(stream, sink): (Stream, &KafkaSinkSpec)| {
            let records = sink.records(stream, &self.shape.schema(stream), numbering)?;
            Ok(ResultTopic { stream, topic: sink.to.topic.clone(), records: Arc::new(records) })
        };
        self.sinks.kafka().map(topic).collect()
    }

    /// Holds the state directory: others may run on it, and nobody may change it from outside.
    fn guard(self) -> Result<Option<Box<dyn std::any::Any + Send>>> {
        match self.state {
            Some(StateSpec::Dir(dir)) => Ok(Some(Box::new(SnapshotDir::open(dir)?.lock(Hold::Shared)?))),
            _ => Ok(None),
        }
    }

    /// Takes every directory that is written for this pipeline, or none. Errors: `State`, when one
    /// is another pipeline's.
    fn own_directories(self) -> Result<()> {
        let state = match self.state {
            Some(StateSpec::Dir(dir)) => Some(dir.as_path()),
            _ => None,
        };
        let outputs = self.sinks.directories().map(|(_, sink)| sink.dir.as_path());
        let mut owned = Vec::new();
        for dir in state.into_iter().chain(outputs) {
            make_dir(dir).or_fail(Kind::Sink, || format!("cannot make the directory {}", dir.display()))?;
            owned.push((dir, Owner { pipeline: self.name.to_owned(), state: self.state_seen_from(dir)? }));
        }

        owned.iter().try_for_each(|(dir, owner)| owner.check(dir))?;
        owned.iter().try_for_each(|(dir, owner)| owner.take(dir))
    }

    /// Where the state is, for somebody in a directory.
    fn state_seen_from(self, dir: &Path) -> Result<Option<String>> {
        Ok(match self.state {
            Some(StateSpec::Dir(state)) => Some(seen_from(dir, state)?),
            Some(StateSpec::Kafka(state)) => Some(format!("topic {}", state.topic)),
            None => None,
        })
    }

    /// The states that are part of no commit; none: nothing survives a restart.
    pub fn states(self) -> Result<Option<Arc<dyn SnapshotStore>>> {
        Ok(match self.state {
            Some(StateSpec::Dir(dir)) => Some(Arc::new(SnapshotDir::open(dir)?)),
            Some(StateSpec::Kafka(topic)) => Some(Arc::new(StateTopicStore::open(topic, self.name)?)),
            None => None,
        })
    }

    fn directories(self) -> Vec<(Stream, PathBuf, SinkFileFormat)> {
        self.sinks.directories().map(|(stream, sink)| (stream, sink.dir.clone(), sink.format)).collect()
    }
}

fn no_state() -> Error {
    Error::new(Kind::State, "exactly once needs a state")
}

/// The life of an instance of which no directory keeps account. Where it has a fixed name in its
/// group, it is that one: a restart then ends at once the transaction that it had left open.
/// Otherwise no other instance has the same, and the instance that takes its partitions over ends
/// its transaction.
fn life_of(client: &KafkaClientSpec) -> Life {
    let fixed = client.properties.iter().find(|(name, id)| name == "group.instance.id" && !id.is_empty());
    let id = match fixed {
        Some((_, id)) => id.clone(),
        None => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            format!("{:x}-{:x}", std::process::id(), now.map_or(0, |now| now.as_micros()))
        }
    };
    Life { id, former: None }
}
