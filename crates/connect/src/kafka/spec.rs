//! How a Kafka cluster is reached, and which topic of it is meant.
//! It must not know sources, sinks or ledgers.

use std::fmt;

use crate::secret::Secret;

/// A broker list and librdkafka properties. `Debug` hides the values of the properties.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaClientSpec {
    /// The bootstrap servers, `host:port` with commas between them.
    pub brokers: String,
    /// librdkafka properties in the order of the file, secrets already read from their files.
    pub properties: Vec<(String, String)>,
    /// The files of those that were read from files: each new client reads them again.
    pub secret_files: Vec<(String, Secret)>,
}

impl KafkaClientSpec {
    /// The value of a property, where the file has it.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for KafkaClientSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.properties.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("KafkaClientSpec").field("brokers", &self.brokers).field("properties", &names).finish()
    }
}

/// A topic that is written, and how its cluster is reached.
#[derive(Debug, Clone)]
pub struct KafkaTopicSpec {
    /// The cluster.
    pub client: KafkaClientSpec,
    /// The name of the topic.
    pub topic: String,
}
