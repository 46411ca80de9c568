//! The block of a topic as it is written.
//! It must not know defaults, nor what is built.

use schemars::JsonSchema;
use serde::Deserialize;
use tickcast_connect::{OnLoss, StartFrom};

use super::super::scalar::Ordered;

/// A topic and how to reach it; `group`, `start` and `on_loss` belong to a source only.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawKafka {
    /// Bootstrap brokers. Default: localhost:9092; in a sink and in state, the source's.
    pub brokers: Option<String>,
    /// The topic.
    #[schemars(required)]
    pub topic: Option<String>,
    /// Consumer group. Default: the pipeline's name.
    pub group: Option<String>,
    /// Where a group without a committed offset begins. Default: warm.
    pub start: Option<StartFrom>,
    /// What happens when records are gone before they were read, by the topic's retention or
    /// because they were deleted. Default: stop.
    pub on_loss: Option<OnLoss>,
    /// librdkafka properties, such as those of TLS and SASL. `<property>_file` reads the value,
    /// such as a secret, from a file.
    /// `group.instance.id` names an instance in its group, in place of the name that tickcast keeps
    /// itself: when it comes back after a crash, it gets its partitions at once. It must be another
    /// one for each instance.
    /// Default in a sink and in state: the source's, without those that only consumers have; a
    /// block of their own keeps the source's way into the same brokers (`security.protocol`,
    /// `sasl.*`, `ssl.*`), unless it says another one.
    pub properties: Option<Ordered>,
}
