//! How large a record topics take, and what a producer must be told so that they do.
//! It must not send anything.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::executor::block_on;
use rdkafka::admin::{AdminOptions, OwnedResourceSpecifier, ResourceSpecifier};
use tickcast_stream::error::Result;

use super::spec::KafkaClientSpec;
use super::topics::admin;

/// The setting of a topic that is asked for.
const SETTING: &str = "max.message.bytes";
/// What it is where nobody has set it.
const KAFKAS_DEFAULT: usize = 1_048_588;
/// The property of a producer that limits a record, and librdkafka's own value of it.
const PROPERTY: &str = "message.max.bytes";
const CLIENTS_DEFAULT: usize = 1_000_000;
const CLIENTS_MOST: usize = 1_000_000_000;
/// A topic that takes less is of no use.
const LEAST: usize = 1024;
/// How long the broker may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// What `max.message.bytes` of topics is, by topic. A topic is missing where the broker does not
/// say it: it needs the right to describe the topic's settings.
pub fn record_limits(client: &KafkaClientSpec, topics: &[&str]) -> Result<BTreeMap<String, usize>> {
    let admin = admin(client)?;
    let wanted: Vec<ResourceSpecifier<'_>> =
        topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let options = AdminOptions::new().request_timeout(Some(ANSWER));

    let answer = block_on(admin.describe_configs(&wanted, &options)).unwrap_or_else(|error| {
        tracing::debug!(%error, "the settings of topics cannot be asked for");
        Vec::new()
    });
    let known = answer.into_iter().flatten().filter_map(|found| {
        let bytes = found.get(SETTING)?.value.as_ref()?.parse().ok()?;
        match found.specifier {
            OwnedResourceSpecifier::Topic(topic) => Some((topic, bytes)),
            _ => None,
        }
    });
    Ok(known.collect())
}

/// How large the records of a producer may be, by topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordLimits {
    /// What the topics say, or what was found by trying.
    topics: BTreeMap<String, usize>,
    /// What the user has told the producer.
    client: Option<usize>,
}

impl RecordLimits {
    /// Asks the broker. A topic of which it says nothing is taken to have Kafka's default, until it
    /// refuses a record. Errors: `Config`, when librdkafka refuses the properties.
    pub fn ask(client: &KafkaClientSpec, topics: &[&str]) -> Result<Self> {
        let told = client.properties.iter().rfind(|(name, _)| name == PROPERTY);
        let told = told.and_then(|(_, value)| value.parse().ok());
        Ok(RecordLimits { topics: record_limits(client, topics)?, client: told })
    }

    /// The bytes that a record of a topic may have.
    pub fn of(&self, topic: &str) -> usize {
        self.topics.get(topic).copied().unwrap_or(KAFKAS_DEFAULT).min(self.largest())
    }

    /// What the producer takes: as much as the topics do, unless the user says otherwise.
    fn largest(&self) -> usize {
        let wanted = self.topics.values().copied().max().unwrap_or(0);
        self.client.unwrap_or(wanted.clamp(CLIENTS_DEFAULT, CLIENTS_MOST))
    }

    /// Properties of the producer of these topics. A batch that is too large is refused as a record
    /// is, so all are kept to what the smallest topic takes.
    pub fn properties(&self, topics: &[&str]) -> [(&'static str, String); 2] {
        let smallest = topics.iter().map(|topic| self.of(topic)).min();
        let batch = smallest.unwrap_or(CLIENTS_DEFAULT).min(CLIENTS_DEFAULT);
        [(PROPERTY, self.largest().to_string()), ("batch.size", batch.to_string())]
    }

    /// A topic has refused a record, or a batch of them, for its size. `now` is what the topic says
    /// by now, if it says anything; `may_cut`: whether its records can be made smaller. Whether
    /// trying again helps: less is sent then.
    pub fn refused(&mut self, topic: &str, now: Option<usize>, may_cut: bool) -> bool {
        let had = self.of(topic);
        let next = match now {
            Some(now) if now < had => now,
            // It takes what it says, and a batch has no more: one record is too large.
            Some(_) if !may_cut => return false,
            _ => had / 2,
        };
        self.topics.insert(topic.to_owned(), next);
        next >= LEAST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(topics: &[(&str, usize)], client: Option<usize>) -> RecordLimits {
        let topics = topics.iter().map(|(topic, bytes)| ((*topic).to_owned(), *bytes)).collect();
        RecordLimits { topics, client }
    }

    #[test]
    fn the_smallest_of_topic_and_client_holds() {
        let known = limits(&[("small", 20_000), ("large", 5_000_000)], None);
        assert_eq!(
            ["small", "large", "unknown"].map(|topic| known.of(topic)),
            [20_000, 5_000_000, 1_048_588]
        );
        let properties = known.properties(&["small", "large"]);
        assert_eq!(properties, [(PROPERTY, "5000000".to_owned()), ("batch.size", "20000".to_owned())]);
        assert_eq!(known.properties(&["large"])[1].1, "1000000");

        let told = limits(&[("small", 20_000), ("large", 5_000_000)], Some(15_000));
        assert_eq!(["small", "large"].map(|topic| told.of(topic)), [15_000; 2]);
        let nothing = limits(&[], None);
        assert_eq!((nothing.of("t"), nothing.properties(&["t"])[0].1.as_str()), (1_000_000, "1000000"));
    }

    #[test]
    fn a_refusal_is_answered_by_less_and_never_for_ever() {
        let mut known = limits(&[("t", 1_000_000)], None);
        assert!(known.refused("t", Some(20_000), false));
        assert_eq!(known.of("t"), 20_000);
        assert!(!known.refused("t", Some(20_000), false), "what is refused now cannot be made smaller");
        assert!(known.refused("t", Some(20_000), true));
        assert_eq!(known.of("t"), 10_000);

        let mut unknown = limits(&[], None);
        let tries = (0..100).take_while(|_| unknown.refused("t", None, false)).count();
        assert_eq!(tries, 9);
    }
}
