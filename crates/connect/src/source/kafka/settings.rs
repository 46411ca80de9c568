//! The settings of a consumer, and how much of a topic it may fetch ahead of the reading, so that a
//! process that falls behind keeps its size.
//! It must not know how the records are read.
//!
//! librdkafka bounds what it fetches ahead for each partition. So these bounds are shares of what
//! all of the topic's partitions may have together: 200,000 records and 128 MiB of them, and beyond
//! that one answer of a broker, 16 MiB as they are compressed. A share has a least size, which
//! counts from about five hundred partitions on.

use rdkafka::config::ClientConfig;

use super::identity::{INSTANCE, Identity};
use super::spec::KafkaSourceSpec;
use crate::kafka::client_config;

/// Partitions of a topic about which no broker answers yet.
pub(super) const UNKNOWN: i32 = 16;

/// What all partitions may have together, and the least and the most of one: records waiting, KiB
/// of them, and bytes of one answer.
const SHARES: [(&str, i32, i32, i32); 3] = [
    ("queued.min.messages", 200_000, 400, 50_000),
    ("queued.max.messages.kbytes", 128 << 10, 256, 16 << 10),
    ("fetch.message.max.bytes", 16 << 20, 16 << 10, 1 << 20),
];

/// What librdkafka calls the last of them too.
const OTHER_NAME: &str = "max.partition.fetch.bytes";

/// The configuration of a consumer of a topic that has so many partitions.
pub(super) fn consumer_config(spec: &KafkaSourceSpec, partitions: i32, identity: &Identity) -> ClientConfig {
    let mut defaults = vec![
        ("group.id", spec.group.as_str()),
        // A position that is not in the log is looked at, not left to the library.
        ("auto.offset.reset", "error"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("isolation.level", "read_committed"),
        ("statistics.interval.ms", "1000"),
        // A topic that grows is noticed within this time.
        ("topic.metadata.refresh.interval.ms", "30000"),
    ];

    let ahead = prefetch(spec, partitions);
    defaults.extend(ahead.iter().map(|(name, value)| (*name, value.as_str())));

    // In the new protocol the broker decides it.
    if !spec.has_new_protocol() {
        defaults.push(("partition.assignment.strategy", "cooperative-sticky"));
    }
    defaults.extend(identity.settings());
    let mut config = client_config(&spec.client, &defaults);
    if spec.property(INSTANCE) == Some("") {
        config.remove(INSTANCE);
    }
    config
}

/// How much may be fetched ahead.
fn prefetch(spec: &KafkaSourceSpec, partitions: i32) -> Vec<(&'static str, String)> {
    let share = |(name, all, least, most): (_, i32, i32, i32)| {
        (name, (all / partitions.max(1)).clamp(least, most).to_string())
    };
    let is_said = |name| name == "fetch.message.max.bytes" && spec.property(OTHER_NAME).is_some();
    let mut settings: Vec<_> = SHARES.map(share).into_iter().filter(|(name, _)| !is_said(*name)).collect();

    // A queue that was full is filled again within this time, not the library's second.
    settings.push(("fetch.queue.backoff.ms", "10".to_owned()));
    // A request without that partition may be on its way: the broker keeps it so long where the
    // others have nothing.
    settings.push(("fetch.wait.max.ms", "100".to_owned()));
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::KafkaClientSpec;
    use crate::source::{OnLoss, StartFrom};

    fn settings(partitions: i32, properties: &[(&str, &str)]) -> Vec<(&'static str, String)> {
        let properties =
            properties.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let spec = KafkaSourceSpec {
            client: KafkaClientSpec { brokers: String::new(), properties, ..KafkaClientSpec::default() },
            topic: String::new(),
            group: String::new(),
            start: StartFrom::Earliest,
            on_loss: OnLoss::Stop,
        };
        prefetch(&spec, partitions)
    }

    #[test]
    fn partitions_share_what_may_be_fetched_ahead() {
        for (partitions, expected) in [
            (1, ["50000", "16384", "1048576"]),
            (16, ["12500", "8192", "1048576"]),
            (100, ["2000", "1310", "167772"]),
            (1000, ["400", "256", "16777"]),
            (5000, ["400", "256", "16384"]),
        ] {
            let found = settings(partitions, &[]);
            assert!(found.iter().zip(expected).all(|((_, found), expected)| found == expected), "{found:?}");
        }
    }

    #[test]
    fn what_the_file_says_under_another_name_is_not_said_twice() {
        let found = settings(4, &[(OTHER_NAME, "1")]);
        assert!(found.iter().all(|(name, _)| *name != "fetch.message.max.bytes"), "{found:?}");
    }
}
