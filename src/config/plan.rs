//! The validated plan: what the rest of tickcast may know of the pipeline file.
//! Every value here is checked, defaulted and in one unit; nothing here parses. Enums whose words are the file's
//! words derive `Deserialize` for the raw layer; the field shapes know nothing of the file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use tickcast_model::{Activation, Cell, Loss, Optimizer, Rule, Schedule};

pub use crate::forecast::Expert;

/// A whole pipeline, ready to run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub name: String,
    pub source: SourcePlan,
    /// The wire format of Kafka messages, or of a file whose name does not tell.
    pub format: Format,
    /// An Avro schema of the input records; without one every column an expression names is a number.
    pub schema: Option<PathBuf>,
    /// The column that names a record's series.
    pub key: String,
    /// The column that holds a record's event time.
    pub time: String,
    pub window: WindowPlan,
    pub forecast: ForecastPlan,
    pub sinks: SinksPlan,
    /// Where state snapshots go; none: nothing survives a restart.
    pub state: Option<StatePlan>,
    /// `ExactlyOnce` only where every end can take part in one commit.
    pub delivery: Delivery,
    pub commit_every: Duration,
    pub snapshot_every: Duration,
    /// Partition workers, at least 1.
    pub workers: usize,
    pub serve: ServePlan,
}

impl Plan {
    /// Every topic that is written, with the key of the file that it belongs to: `sinks.scores`, `state`.
    pub fn topics_written(&self) -> impl Iterator<Item = (String, &KafkaClientPlan, &str)> {
        let state = match &self.state {
            Some(StatePlan::Kafka { client, topic }) => Some(("state".to_string(), client, topic.as_str())),
            _ => None,
        };
        let sinks = self.sinks.topics();
        sinks.map(|(stream, client, topic)| (format!("sinks.{}", stream.name()), client, topic)).chain(state)
    }
}

#[derive(Debug, Clone)]
pub enum SourcePlan {
    Kafka(KafkaSourcePlan),
    File(FileSourcePlan),
    Generate(GeneratePlan),
}

/// A broker list and librdkafka properties; `Debug` hides the values of the properties.
#[derive(Clone, Default)]
pub struct KafkaClientPlan {
    pub brokers: String,
    /// librdkafka properties in the order of the file, secrets already read from their files.
    pub properties: Vec<(String, String)>,
}

impl std::fmt::Debug for KafkaClientPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.properties.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("KafkaClientPlan").field("brokers", &self.brokers).field("properties", &names).finish()
    }
}

#[derive(Debug, Clone)]
pub struct KafkaSourcePlan {
    pub client: KafkaClientPlan,
    pub topic: String,
    pub group: String,
    pub start: Start,
}

/// Where a pipeline begins in a topic of which it has committed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all(deserialize = "snake_case"))]
pub enum Start {
    /// At its first record, to learn; forecasts and scores are put out from where it ends now. Of the past only rejects are.
    Warm,
    /// At its first record; all is put out.
    Earliest,
    /// At its end.
    Latest,
}

#[derive(Debug, Clone)]
pub struct FileSourcePlan {
    /// `-` is standard input.
    pub path: PathBuf,
    pub format: FileFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    Csv,
    Ndjson,
    Parquet,
}

#[derive(Debug, Clone)]
pub struct GeneratePlan {
    pub series: u32,
    pub ticks: u64,
    /// Ticks a second; none: as fast as the pipeline takes them.
    pub rate: Option<f64>,
    pub seed: u64,
    pub process: Process,
    pub partitions: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all(deserialize = "snake_case"))]
pub enum Process {
    Market,
    Weather,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Csv,
}

#[derive(Debug, Clone, Serialize)]
pub struct WindowPlan {
    /// Length of a tumbling window in microseconds, > 0.
    pub size_us: i64,
    /// How long a window waits for late records, in microseconds, >= 0.
    pub lateness_us: i64,
    pub gaps: Gaps,
    /// Output column and its SQL aggregate expression, in the order of the file.
    pub select: Vec<(String, String)>,
}

/// What a series that is silent for a whole window does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all(deserialize = "snake_case"))]
pub enum Gaps {
    /// It repeats its last row.
    Carry,
    /// It has no row.
    Skip,
}

#[derive(Debug, Clone, Serialize)]
pub struct ForecastPlan {
    /// One of the selected columns.
    pub target: String,
    /// Selected columns that the experts see, the target among them first.
    pub features: Vec<String>,
    /// Ascending, distinct, each >= 1, in windows.
    pub horizons: Vec<u32>,
    /// Windows in a season.
    pub season: Option<u32>,
    /// Windows in a week, where it is a season beside that: the calendar has the day of the week, and windows are shorter.
    pub week: Option<u32>,
    pub calendar: Vec<Calendar>,
    /// Interval levels, ascending, each in (0, 1).
    pub levels: Vec<f64>,
    pub model: ModelPlan,
    pub experts: Vec<Expert>,
    pub mixture: MixtureRule,
    pub correction: Correction,
    /// Whether the network also gives the probability of a rise.
    pub direction: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all(deserialize = "snake_case"))]
pub enum Calendar {
    Hour,
    DayOfWeek,
    DayOfYear,
}

/// How intervals are corrected online.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// Wider by a step after a miss, narrower after a hit.
    PTracker,
    /// Other quantiles, as adaptive conformal inference with several steps side by side asks for.
    Dtaci,
}

/// How experts are mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MixtureRule {
    /// Bernstein online aggregation.
    Boa,
    /// Polynomially weighted averages with a learning rate each.
    MlPoly,
}

#[derive(Debug, Clone, Serialize)]
pub struct ModelPlan {
    pub cell: Cell,
    pub hidden: usize,
    pub layers: usize,
    /// Of the simple RNN; LSTM and GRU have theirs by definition.
    pub activation: Activation,
    /// Whether a linear path leads from the inputs past the cell to the outputs.
    pub skip: bool,
    /// Steps of truncated backpropagation, >= the longest horizon + 8 and >= the longest horizon + the stride.
    pub bptt: usize,
    /// Closed windows from one update to the next, >= 1.
    pub stride: usize,
    /// Random past windows learned again at each update, per live series.
    pub replay: usize,
    pub loss: Loss,
    pub optimizer: Optimizer,
    /// Longest gradient that is applied as it is, in its global norm, > 0.
    pub clip: f32,
    /// Decay of the averaged weights, in [0, 1).
    pub ema: f32,
    pub scope: Scope,
    pub seed: u64,
}

/// Whose ticks train one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all(deserialize = "snake_case"))]
pub enum Scope {
    /// All series of a partition.
    Shared,
    /// Each series its own.
    Series,
}

#[derive(Debug, Clone, Default)]
pub struct SinksPlan {
    pub forecasts: Option<SinkPlan>,
    pub scores: Option<SinkPlan>,
    pub rejects: Option<SinkPlan>,
}

impl SinksPlan {
    /// The sinks that are topics.
    pub fn topics(&self) -> impl Iterator<Item = (crate::message::Stream, &KafkaClientPlan, &str)> {
        crate::message::Stream::ALL.into_iter().filter_map(|stream| match self.of(stream) {
            Some(SinkPlan::Kafka { client, topic }) => Some((stream, client, topic.as_str())),
            _ => None,
        })
    }

    /// The sink of a stream, if the file names one.
    pub fn of(&self, stream: crate::message::Stream) -> Option<&SinkPlan> {
        match stream {
            crate::message::Stream::Forecasts => self.forecasts.as_ref(),
            crate::message::Stream::Scores => self.scores.as_ref(),
            crate::message::Stream::Rejects => self.rejects.as_ref(),
        }
    }
}

#[derive(Debug, Clone)]
pub enum SinkPlan {
    Stdout,
    /// A directory that gets one file a partition.
    File {
        dir: PathBuf,
        format: SinkFileFormat,
    },
    Kafka {
        client: KafkaClientPlan,
        topic: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkFileFormat {
    Ndjson,
    Parquet,
}

#[derive(Debug, Clone)]
pub enum StatePlan {
    Dir(PathBuf),
    Kafka { client: KafkaClientPlan, topic: String },
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

#[derive(Debug, Clone, Default)]
pub struct ServePlan {
    pub http: Option<SocketAddr>,
}
