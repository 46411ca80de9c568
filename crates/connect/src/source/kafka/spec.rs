//! Which topic is read, as whom, and from where.
//! It must not read it.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::kafka::KafkaClientSpec;

/// A topic that is read.
#[derive(Debug, Clone)]
pub struct KafkaSourceSpec {
    /// The cluster.
    pub client: KafkaClientSpec,
    /// The name of the topic.
    pub topic: String,
    /// The consumer group that a run joins.
    pub group: String,
    /// Where a run begins.
    pub start: StartFrom,
    /// What happens when records are gone before they were read.
    pub on_loss: OnLoss,
}

/// What a run does when the broker has dropped records before they were read: by the topic's
/// retention, or because somebody deleted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all(deserialize = "snake_case"))]
pub enum OnLoss {
    /// It stops with an error that names the records.
    Stop,
    /// It goes on after them; they are counted in `records_lost_total`.
    Continue,
}

/// Where a pipeline begins in a topic of which it has committed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all(deserialize = "snake_case"))]
pub enum StartFrom {
    /// At its first record, to learn; forecasts and scores are put out from where it ends now. Of
    /// the past only rejects are.
    Warm,
    /// At its first record; all is put out.
    Earliest,
    /// At its end.
    Latest,
}
