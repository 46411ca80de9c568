//! From a checked pipeline to its partitions: what is the same for all of them, and how one is
//! built.
//! It must not read records, nor know which decoder and which windows it is given.

use std::collections::BTreeMap;

use tickcast_forecast::{Forecaster, WindowOrder};

use super::front::AheadRule;
use super::partition::Partition;
use crate::decode::Decode;
use crate::error::{Error, Kind, OrFail, Result};
use crate::forecast::{ForecastOperator, Targets, parts};
use crate::ledger::Snapshot;
use crate::message::Stream;
use crate::operator::Operator;
use crate::place::{Offset, PartitionId};

/// Makes a decoder with no memory.
pub type NewDecoder = Box<dyn Fn(PartitionId) -> Result<Box<dyn Decode>> + Send + Sync>;
/// Makes an operator with no memory.
pub type NewOperator = Box<dyn Fn() -> Box<dyn Operator> + Send + Sync>;

/// All that partitions of one pipeline share.
pub struct PipelineParts {
    /// What rejects call the input: the topic, the file, the generator.
    pub topic: String,
    /// The pipeline's name: a state is only good for the pipeline that made it.
    pub pipeline: String,
    /// The settings that shape a state, as JSON: a state is only good for what it was made with.
    pub fingerprint: String,
    /// The streams that have a sink.
    pub streams: Vec<Stream>,
    /// Whether its windows stay open at its end: it may go on.
    pub leaves_open: bool,
    /// Whether others may have read the input before under the same name: results that are there
    /// then stay.
    pub is_shared: bool,
    /// Whether a partition of which nothing is known has a past that is only learned.
    pub has_past: bool,
    /// What a time is that runs ahead; none where the source has times of its own to judge by.
    pub ahead_rule: Option<AheadRule>,
    /// What is forecast.
    pub targets: Targets,
    /// How windows follow each other.
    pub order: WindowOrder,
    /// Makes each partition's decoder.
    pub new_decoder: NewDecoder,
    /// Makes what each partition's records go through before windows; none: nothing.
    pub new_prepare: Option<NewOperator>,
    /// Makes what lets each of those records through once; none: nothing.
    pub new_deduplicate: Option<NewOperator>,
    /// Makes each partition's windows.
    pub new_window: NewOperator,
}

/// Builds a pipeline's partitions.
pub struct PipelineFactory {
    parts: PipelineParts,
    /// Where a clock has closed their windows in an earlier life.
    closes: BTreeMap<PartitionId, Vec<Offset>>,
}

impl PipelineFactory {
    /// A factory of these parts.
    pub fn new(parts: PipelineParts) -> Self {
        PipelineFactory { parts, closes: BTreeMap::new() }
    }

    /// The same factory, whose partitions read again what a clock has closed the windows of.
    pub fn closing_at(mut self, closes: BTreeMap<PartitionId, Vec<Offset>>) -> Self {
        self.closes = closes;
        self
    }

    /// What rejects call the input.
    pub fn topic(&self) -> &str {
        &self.parts.topic
    }

    /// The streams that have a sink.
    pub fn streams(&self) -> &[Stream] {
        &self.parts.streams
    }

    /// Whether others may have read the input before under the same name.
    pub fn is_shared(&self) -> bool {
        self.parts.is_shared
    }

    /// Whether a partition of which nothing is known has a past that is only learned.
    pub fn has_past(&self) -> bool {
        self.parts.has_past
    }

    /// A decoder with no memory.
    pub fn decoder(&self, partition: PartitionId) -> Result<Box<dyn Decode>> {
        (self.parts.new_decoder)(partition)
    }

    /// A partition with no memory.
    pub fn partition(&self, id: PartitionId) -> Result<Partition> {
        self.partition_from(id, self.forecasters())
    }

    /// A partition with no memory, whose networks begin with imported weights, as
    /// [`PipelineFactory::initial_weights`] has put them together. Errors: `State`, when they do
    /// not fit.
    pub fn partition_with_weights(&self, id: PartitionId, weights: &[u8]) -> Result<Partition> {
        let mut forecasters = self.forecasters();
        let of_others = || {
            let what = "the imported weights are of another forecast.target: import weights anew with `model import`";
            Error::new(Kind::State, what)
        };
        let weights = parts::split(weights, forecasters.len()).ok_or_else(of_others)?;
        for (forecaster, weights) in forecasters.iter_mut().zip(weights) {
            // Of a target that none were imported for there are none.
            if !weights.is_empty() {
                forecaster
                    .begin_with(weights)
                    .or_fail(Kind::State, || "cannot begin with the imported weights")?;
            }
        }
        self.partition_from(id, forecasters)
    }

    /// The weights that networks begin with, of every target: those of the `nth` in place of what
    /// was there of it. Weights that were imported for other targets are dropped.
    pub fn initial_weights(&self, before: Option<&[u8]>, nth: usize, weights: &[u8]) -> Vec<u8> {
        let count = self.parts.targets.names().count();
        let known = before.and_then(|before| parts::split(before, count));
        let mut all = known.unwrap_or_else(|| vec![&[][..]; count]);
        all[nth] = weights;
        parts::join(all.into_iter().map(<[u8]>::to_vec).collect())
    }

    /// The forecaster of each target, with no memory, in the order of the targets.
    pub fn forecasters(&self) -> Vec<Forecaster> {
        self.parts.targets.iter().map(|spec| Forecaster::new(spec, self.parts.order.clone())).collect()
    }

    /// The forecasters of a partition as a snapshot has them, in the order of the targets. Errors:
    /// `State`, when another pipeline wrote it.
    pub fn forecasters_of(&self, snapshot: &Snapshot) -> Result<Vec<Forecaster>> {
        let fail = || "cannot read the forecasters' state";
        let mut forecasters = self.forecasters();
        let partition = self.partition(snapshot.partition)?;
        let states = parts::split(partition.last_state(snapshot)?, forecasters.len());
        for (forecaster, state) in
            forecasters.iter_mut().zip(states.ok_or_else(|| Error::new(Kind::State, fail()))?)
        {
            forecaster.restore(state).or_fail(Kind::State, fail)?;
        }
        Ok(forecasters)
    }

    /// The snapshot with these forecasters in place of its own. Errors: as `forecasters_of`.
    pub fn with_forecasters(&self, snapshot: &Snapshot, forecasters: &[Forecaster]) -> Result<Snapshot> {
        let states: tickcast_forecast::Result<_> =
            forecasters.iter().map(|forecaster| forecaster.freeze()()).collect();
        let states = states.or_fail(Kind::State, || "cannot write the forecasters' state")?;
        self.partition(snapshot.partition)?.with_last_state(snapshot, parts::join(states))
    }

    /// A partition with no memory that hands its closed windows on instead of forecasting from
    /// them.
    pub fn windows(&self, id: PartitionId) -> Result<Partition> {
        self.chain(id, None)
    }

    fn partition_from(&self, id: PartitionId, forecasters: Vec<Forecaster>) -> Result<Partition> {
        self.chain(id, Some(Box::new(ForecastOperator::of(forecasters))))
    }

    fn chain(&self, id: PartitionId, last: Option<Box<dyn Operator>>) -> Result<Partition> {
        let decoder = self.decoder(id)?;
        let before = [&self.parts.new_prepare, &self.parts.new_deduplicate];
        let before = before.into_iter().flatten().map(|new| new());
        let operators = before.chain([(self.parts.new_window)()]).chain(last).collect();
        let PipelineParts { topic, pipeline, fingerprint, ahead_rule, leaves_open, .. } = &self.parts;
        let (topic, pipeline, fingerprint) = (topic.clone(), pipeline.clone(), fingerprint.clone());
        let partition = Partition::new(id, topic, pipeline, fingerprint, decoder, operators)
            .with_ahead_rule(ahead_rule.clone());
        let mut partition = if *leaves_open { partition.leaving_open() } else { partition };
        self.closes.get(&id).into_iter().for_each(|closes| partition.will_close_at(closes));
        Ok(partition)
    }
}
