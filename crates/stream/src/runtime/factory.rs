//! From a checked pipeline to its partitions: what is the same for all of them, and how one is
//! built.
//! It must not read records, nor know which decoder and which windows it is given.

use std::collections::BTreeMap;

use tickcast_forecast::{ForecastSpec, Forecaster, WindowOrder};

use super::front::AheadRule;
use super::partition::Partition;
use crate::decode::Decode;
use crate::error::{Kind, OrFail, Result};
use crate::forecast::ForecastOperator;
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
    pub forecast: ForecastSpec,
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
        self.partition_from(id, self.forecaster())
    }

    /// A partition with no memory, whose networks begin with the weights of a file. Errors:
    /// `State`, when they do not fit.
    pub fn partition_with_weights(&self, id: PartitionId, weights: &[u8]) -> Result<Partition> {
        let mut forecaster = self.forecaster();
        forecaster.begin_with(weights).or_fail(Kind::State, || "cannot begin with the imported weights")?;
        self.partition_from(id, forecaster)
    }

    /// The forecaster of a partition, with no memory.
    pub fn forecaster(&self) -> Forecaster {
        Forecaster::new(&self.parts.forecast, self.parts.order.clone())
    }

    /// The forecaster of a partition as a snapshot has it. Errors: `State`, when another pipeline
    /// wrote it.
    pub fn forecaster_of(&self, snapshot: &Snapshot) -> Result<Forecaster> {
        let mut forecaster = self.forecaster();
        let partition = self.partition(snapshot.partition)?;
        forecaster
            .restore(partition.last_state(snapshot)?)
            .or_fail(Kind::State, || "cannot read the forecasters' state")?;
        Ok(forecaster)
    }

    /// The snapshot with this forecaster in place of its own. Errors: as `forecaster_of`.
    pub fn with_forecaster(&self, snapshot: &Snapshot, forecaster: &Forecaster) -> Result<Snapshot> {
        let state = forecaster.freeze()().or_fail(Kind::State, || "cannot write the forecasters' state")?;
        self.partition(snapshot.partition)?.with_last_state(snapshot, state)
    }

    /// A partition with no memory that hands its closed windows on instead of forecasting from
    /// them.
    pub fn windows(&self, id: PartitionId) -> Result<Partition> {
        self.chain(id, None)
    }

    fn partition_from(&self, id: PartitionId, forecaster: Forecaster) -> Result<Partition> {
        self.chain(id, Some(Box::new(ForecastOperator::of(forecaster))))
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
