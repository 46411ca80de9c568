//! Checks how a Kafka cluster is reached: brokers, topic names, librdkafka properties and their
//! secret files.
//! It must not know which properties librdkafka has; only which are secrets, and which tickcast
//! sets itself.

use std::fs::File;
use std::io::Read;

use tickcast_connect::{KafkaClientSpec, SourceSpec};

use super::Checker;
use super::source::BROKERS;
use crate::config::raw::RawKafka;

/// Far longer than any certificate chain.
const SECRET_BYTES_MAX: u64 = 1 << 20;

/// Properties that have a key of their own, or that would break the commit if they were changed.
const OURS: [(&str, &str); 11] = [
    ("bootstrap.servers", "write brokers"),
    ("metadata.broker.list", "write brokers"),
    ("group.id", "write group"),
    ("auto.offset.reset", "write start"),
    ("enable.auto.commit", "tickcast commits itself"),
    ("enable.auto.offset.store", "tickcast commits itself"),
    ("transactional.id", "tickcast commits itself"),
    ("enable.idempotence", "tickcast commits itself"),
    ("partition.assignment.strategy", "tickcast gives partitions back one by one"),
    ("enable.partition.eof", "tickcast reads on at a topic's end"),
    ("isolation.level", "tickcast reads what is committed"),
];

/// Properties of a source that mean nothing to a client that writes: librdkafka's consumer-only
/// ones. A name that ends with a dot stands for all that begin with it.
const CONSUMER_ONLY: [&str; 10] = [
    "group.",
    "fetch.",
    "queued.",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
    "max.partition.fetch.bytes",
    "partition.assignment.strategy",
    "coordinator.query.interval.ms",
    "check.crcs",
];

impl Checker<'_> {
    /// A topic that `what` at `path` writes, and how it is reached: where the file does not say, as
    /// the source is.
    pub fn topic_written(
        &mut self,
        raw: RawKafka,
        path: &str,
        what: &str,
        source: &SourceSpec,
    ) -> (KafkaClientSpec, String) {
        let path = format!("{path}.kafka");
        let only_read = [
            ("group", raw.group.is_some()),
            ("start", raw.start.is_some()),
            ("on_loss", raw.on_loss.is_some()),
        ];
        for (key, is_given) in only_read {
            if is_given {
                self.fault(&format!("{path}.{key}"), format!("belongs to a source, not to {what}"));
            }
        }

        let topic_path = format!("{path}.topic");
        let topic = self.topic(raw.topic, &topic_path);
        let mut client = inherited(source);
        client.brokers = raw.brokers.unwrap_or(client.brokers);
        if let Some(properties) = raw.properties {
            client.properties = self.properties(properties.0, &format!("{path}.properties"));
        }

        if let SourceSpec::Kafka(kafka) = source
            && kafka.topic == topic
            && kafka.client.brokers == client.brokers
            && !topic.is_empty()
        {
            self.fault(&topic_path, "is the source's topic: the pipeline would read what it writes");
        }
        (client, topic)
    }

    /// Kafka's own rule for topic names.
    pub fn topic(&mut self, topic: Option<String>, path: &str) -> String {
        let topic = self.required_text(topic, path, "the name of the topic");
        let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if topic.len() > 249 || !topic.chars().all(is_legal) || topic == "." || topic == ".." {
            self.fault_with_help(path, "not a topic name", "letters, digits, '.', '_' and '-', at most 249");
        }
        topic
    }

    /// `<property>_file` becomes `<property>` with the file's text. No fault shows a value.
    pub fn properties(&mut self, raw: Vec<(String, String)>, path: &str) -> Vec<(String, String)> {
        let names: Vec<String> = raw.iter().map(|(name, _)| name.clone()).collect();

        let mut properties = Vec::new();
        for (name, value) in raw {
            let here = format!("{path}.{name}");
            let property = name.strip_suffix("_file").unwrap_or(&name);
            if let Some((_, help)) = OURS.iter().find(|(ours, _)| *ours == property) {
                self.fault_with_help(&here, "not a property to set", help);
            }

            if property == name {
                properties.push((name, value));
                continue;
            }
            if names.iter().any(|other| other == property) {
                self.fault(&here, format!("{property} is there already"));
            }
            match self.read_secret(&value) {
                Ok(secret) => properties.push((property.to_string(), secret)),
                Err(message) => self.fault(&here, message),
            }
        }
        properties
    }

    /// The error names neither path nor contents: somebody may have put the password itself here.
    fn read_secret(&self, path: &str) -> Result<String, String> {
        let mut secret = String::new();
        let read = File::open(self.file_path(path))
            .and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut secret));
        match read {
            Ok(_) => Ok(secret.trim_end_matches(['\n', '\r']).to_string()),
            Err(error) => Err(format!("its file cannot be read: {}", error.kind())),
        }
    }
}

/// How a topic is reached that says nothing of it.
fn inherited(source: &SourceSpec) -> KafkaClientSpec {
    let SourceSpec::Kafka(kafka) = source else {
        return KafkaClientSpec { brokers: BROKERS.to_string(), properties: Vec::new() };
    };
    let is_consumers = |name: &str| {
        CONSUMER_ONLY.iter().any(|own| name == *own || own.ends_with('.') && name.starts_with(own))
    };
    let mut client = kafka.client.clone();
    client.properties.retain(|(name, _)| !is_consumers(name));
    client
}
