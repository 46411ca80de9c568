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

impl KafkaSourceSpec {
    /// Whether the group speaks the new protocol, in which the broker decides what a session is.
    pub(super) fn has_new_protocol(&self) -> bool {
        self.property("group.protocol").is_some_and(|value| value.eq_ignore_ascii_case("consumer"))
    }

    /// What the file says of a property of librdkafka.
    pub(super) fn property(&self, name: &str) -> Option<&str> {
        self.client.property(name)
    }
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
