//! The validated plan: every value is checked, defaulted and in one unit; nothing here parses.
//! It must not hold a setting of a room: every room has a spec of its own, and the plan puts them
//! together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use schemars::JsonSchema;
use serde::Deserialize;
use tickcast_connect::ingest::IngestSpec;
use tickcast_connect::registry::RegistrySpec;
use tickcast_connect::{
    CsvSpec, Nulls, PipelineEnds, SeriesKey, Shape, SinkSpecs, SourceSpec, StateSpec, TimeSpec, WireFormat,
};
use tickcast_forecast::ForecastSpec;
use tickcast_sql::query::StreamTable;
use tickcast_sql::{DeduplicateSpec, PrepareSpec, WindowSpec};
use tickcast_stream::error::Result;
use tickcast_stream::forecast::Targets;
use tickcast_stream::message::Stream;
use tickcast_stream::record::RecordShape;
use tickcast_stream::table::Table;
use tickcast_stream::{Offset, PartitionId};

/// A whole pipeline, ready to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Name of the pipeline, and its group's and state's unless they have their own.
    pub name: String,
    /// Where records come from.
    pub source: SourceSpec,
    /// How records come into the source's log, where they are pushed.
    pub ingest: Option<IngestSpec>,
    /// How they are written, and what becomes rows of them.
    pub records: RecordsSpec,
    /// What names a record's series.
    pub key: SeriesKey,
    /// A record's event time: its column, and how it is written.
    pub time: TimeSpec,
    /// How far a record's time may be ahead of its timestamp, or of those before it, in
    /// microseconds.
    pub future_us: i64,
    /// What is done with records before windows.
    pub prepare: PrepareSpec,
    /// Which records are the same; none: each counts.
    pub deduplicate: Option<DeduplicateSpec>,
    /// How records become windows.
    pub window: WindowSpec,
    /// Windows of a partition close when nothing has come of it for so long; none: only its records
    /// close them.
    pub idle: Option<Duration>,
    /// What is forecast, and by what.
    pub targets: Targets,
    /// Where results go.
    pub sinks: SinkSpecs,
    /// Where state snapshots go; none: nothing survives a restart.
    pub state: Option<StateSpec>,
    /// `ExactlyOnce` only where every end can take part in one commit.
    pub delivery: Delivery,
    /// Time between commits.
    pub commit_every: Duration,
    /// How long making the state again may take.
    pub recover_within: Duration,
    /// Partition workers, at least 1.
    pub workers: usize,
    /// What it serves.
    pub serve: ServeSpec,
}

/// How records are written, and what becomes rows of them.
#[derive(Debug, Clone)]
pub struct RecordsSpec {
    /// The wire format of Kafka messages, or of a file whose name does not tell.
    pub format: WireFormat,
    /// A schema of the input records; without one every column an expression names is a number.
    pub schema: Option<PathBuf>,
    /// The registry that has the schemas which records name by number.
    pub registry: Option<RegistrySpec>,
    /// The message of a Protobuf schema; none: its only one.
    pub message: Option<String>,
    /// How CSV is written, as far as that is said.
    pub csv: CsvSpec,
    /// The words that stand for no value.
    pub nulls: Nulls,
    /// What becomes rows of a record.
    pub shape: Shape,
}

impl Default for RecordsSpec {
    fn default() -> Self {
        RecordsSpec {
            format: WireFormat::Json,
            schema: None,
            registry: None,
            message: None,
            csv: CsvSpec::default(),
            nulls: Nulls::default(),
            shape: Shape::default(),
        }
    }
}

impl Plan {
    /// What it reads and writes.
    pub fn ends(&self) -> PipelineEnds<'_> {
        PipelineEnds {
            name: &self.name,
            source: &self.source,
            sinks: &self.sinks,
            state: self.state.as_ref(),
            shape: self.record_shape(),
        }
    }

    /// What its results have.
    pub fn record_shape(&self) -> RecordShape<'_> {
        let ForecastSpec { levels, direction, .. } = self.targets.shared();
        RecordShape { levels, direction: *direction }
    }

    /// The first record of partition 0 that a restart reads again: the one after its newest
    /// snapshot. None: all are needed. `verify` begins at whichever snapshot the input that is left
    /// still reaches. Errors: the ledger's.
    pub fn first_needed(&self) -> Result<Option<Offset>> {
        const PARTITION: PartitionId = PartitionId(0);
        if self.state.is_none() {
            return Ok(None);
        }
        if self.delivery == Delivery::AtLeastOnce {
            let Some(states) = self.ends().states()? else { return Ok(None) };
            return Ok(states.newest(PARTITION)?.map(|snapshot| snapshot.position));
        }

        let entry = self.ends().audit()?.entry(PARTITION)?;
        Ok(entry.and_then(|entry| entry.snapshot).map(|snapshot| snapshot.position))
    }

    /// Where the results are, for queries. Errors: `Query`, when a directory cannot be read.
    pub fn tables(&self) -> Result<Vec<StreamTable>> {
        let table = |stream| {
            let schema = of_any_age(&self.record_shape().schema(stream));
            let table = match self.sinks.of(stream) {
                None => Table::Absent("have no sink"),
                Some(sink) => sink.table(stream, Arc::clone(&schema))?,
            };
            Ok(StreamTable { stream, schema, table })
        };

        Stream::ALL.into_iter().map(table).collect()
    }
}

/// The schema of records among which some may be older than `target`: that is null there.
fn of_any_age(records: &Schema) -> SchemaRef {
    let field = |field: &FieldRef| match field.name().as_str() {
        "target" => Field::clone(field).with_nullable(true),
        _ => Field::clone(field),
    };
    Arc::new(Schema::new(records.fields().iter().map(field).collect::<Vec<_>>()))
}

/// What a crash may do to results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all(deserialize = "snake_case"))]
pub enum Delivery {
    /// Some may come twice, none is lost.
    AtLeastOnce,
    /// Each comes once: results, position and state become visible together or not at all.
    ExactlyOnce,
}

/// What a pipeline serves.
#[derive(Debug, Clone, Default)]
pub struct ServeSpec {
    /// Where its page and metrics are, if anywhere.
    pub http: Option<SocketAddr>,
}
