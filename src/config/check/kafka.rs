//! Checks how a Kafka cluster is reached: brokers, topic names, librdkafka properties and their
//! secret files.
//! It must not know which properties librdkafka has; only which are files, and which tickcast sets
//! itself.

use std::{fs, io};

use tickcast_connect::{KafkaClientSpec, Secret, SourceSpec};

use super::Checker;
use super::source::BROKERS;
use crate::config::raw::RawKafka;

/// A property and its value.
type Property = (String, String);

/// Properties that have a key of their own, or that would break the commit if they were changed;
/// the values that are what tickcast sets anyway; and what to do.
const OURS: [(&str, &[&str], &str); 19] = [
    ("bootstrap.servers", &[], "write brokers"),
    ("metadata.broker.list", &[], "write brokers"),
    ("group.id", &[], "write group"),
    ("auto.offset.reset", &[], "write start"),
    ("enable.auto.commit", &[], "tickcast commits itself"),
    ("enable.auto.offset.store", &[], "tickcast commits itself"),
    ("transactional.id", &[], "tickcast commits itself"),
    ("enable.idempotence", &["true"], "tickcast commits itself"),
    ("acks", &["all", "-1"], "a result is there when all copies have it"),
    ("request.required.acks", &["all", "-1"], "a result is there when all copies have it"),
    ("delivery.report.only.error", &["false"], "tickcast counts what is delivered"),
    ("enable.gapless.guarantee", &["false"], "tickcast commits itself"),
    ("queuing.strategy", &["fifo"], "results keep their order"),
    ("allow.auto.create.topics", &["false"], "run makes the topics, with as many partitions as the source"),
    ("partition.assignment.strategy", &[], "tickcast gives partitions back one by one"),
    ("enable.partition.eof", &[], "tickcast reads on at a topic's end"),
    ("isolation.level", &["read_committed"], "tickcast reads what is committed"),
    ("statistics.interval.ms", &[], "tickcast needs them each second"),
    ("log.queue", &[], "tickcast reads the log"),
];

/// Properties that are files: their paths are relative to the pipeline file, as all are.
const FILES: [&str; 9] = [
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.crl.location",
    "https.ca.location",
    "sasl.oauthbearer.assertion.private.key.file",
    "sasl.oauthbearer.assertion.file",
    "sasl.oauthbearer.assertion.jwt.template.file",
];
/// In the place of a path: librdkafka looks where systems keep their authorities.
const PROBE: &str = "probe";

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
        let sources = inherited(source);
        let is_same_cluster = raw.brokers.as_ref().is_none_or(|brokers| *brokers == sources.brokers);
        let mut client =
            KafkaClientSpec { brokers: raw.brokers.unwrap_or(sources.brokers.clone()), ..sources };
        if let Some(properties) = raw.properties {
            let (own, files) = self.properties(properties.0, &format!("{path}.properties"));
            // A cluster has one way in: who says nothing of it comes as the source does.
            let keeps_way = is_same_cluster && !own.iter().any(|(name, _)| is_way_in(name));
            client.properties.retain(|(name, _)| keeps_way && is_way_in(name));
            client.secret_files.retain(|(name, _)| keeps_way && is_way_in(name));
            client.properties.extend(own);
            client.secret_files.extend(files);
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

    /// `<property>_file` becomes `<property>` with the file's text, and stands among the files too.
    /// No fault shows a value.
    pub fn properties(&mut self, raw: Vec<Property>, path: &str) -> (Vec<Property>, Vec<(String, Secret)>) {
        let names: Vec<String> = raw.iter().map(|(name, _)| name.clone()).collect();

        let (mut properties, mut files) = (Vec::new(), Vec::new());
        for (name, value) in raw {
            let here = format!("{path}.{name}");
            let property = name.strip_suffix("_file").unwrap_or(&name);
            let ours = OURS.iter().find(|(ours, ..)| *ours == property);
            let is_good = |good: &[&str]| property == name && good.contains(&value.as_str());
            if let Some((_, _, help)) = ours.filter(|(_, good, _)| !is_good(good)) {
                self.fault_with_help(&here, "not a property to set", help);
            }

            if property == name {
                let value = if FILES.contains(&property) { self.property_path(value, &here) } else { value };
                properties.push((name, value));
                continue;
            }
            if names.iter().any(|other| other == property) {
                self.fault(&here, format!("{property} is there already"));
            }

            let file = Secret::in_file(self.file_path(&value));
            match file.read() {
                Ok(secret) => properties.push((property.to_string(), secret)),
                Err(error) => self.fault(&here, unreadable(&error)),
            }
            files.push((property.to_string(), file));
        }
        (properties, files)
    }

    /// The path that a property names, as librdkafka needs it.
    fn property_path(&mut self, path: String, here: &str) -> String {
        if path == PROBE {
            return path;
        }
        let path = self.file_path(&path);
        if let Err(error) = fs::metadata(&path) {
            self.fault(here, unreadable(&error));
        }
        path.to_string_lossy().into_owned()
    }
}

/// That a file cannot be read. It names neither path nor contents: somebody may have put the
/// password itself in the path's place.
pub fn unreadable(error: &io::Error) -> String {
    if error.raw_os_error().is_some() {
        format!("its file cannot be read: {}", error.kind())
    } else {
        format!("its file cannot be read: {error}")
    }
}

/// Whether a property is about how a cluster lets clients in.
fn is_way_in(name: &str) -> bool {
    name == "security.protocol"
        || ["sasl.", "ssl.", "https.", "enable.sasl.", "enable.ssl."].iter().any(|way| name.starts_with(way))
}

/// How a topic is reached that says nothing of it.
pub fn inherited(source: &SourceSpec) -> KafkaClientSpec {
    let SourceSpec::Kafka(kafka) = source else {
        return KafkaClientSpec { brokers: BROKERS.to_string(), ..KafkaClientSpec::default() };
    };
    let is_consumers = |name: &str| {
        CONSUMER_ONLY.iter().any(|own| name == *own || own.ends_with('.') && name.starts_with(own))
    };
    let mut client = kafka.client.clone();
    client.properties.retain(|(name, _)| !is_consumers(name));
    client.secret_files.retain(|(name, _)| !is_consumers(name));
    client
}
