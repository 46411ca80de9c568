//! A client that asks a cluster about its topics and groups, and says quickly why there is no
//! answer.
//! It must not read or write records, nor change anything.

use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::metadata::Metadata;
use tickcast_stream::error::{Error, Kind, Result};

use super::client::{METADATA_TIMEOUT, create};
use super::config::client_config;
use super::handshake::shake_hands;
use super::spec::KafkaClientSpec;
use super::trouble::{BrokerLog, is_unreachable};

/// How long each attempt may take. librdkafka says why it cannot connect only between two calls, so
/// the first ones are short. An answer must come within one attempt, so the last ones are long.
const ATTEMPTS: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// How long to wait for more of what librdkafka has to say.
const LISTEN: Duration = Duration::from_millis(20);
/// Brokers that have all turned us away for this long are not asked again.
const TURNED_AWAY_FOR: Duration = Duration::from_millis(900);

/// A connection to a cluster for questions.
pub struct Cluster {
    consumer: BaseConsumer<BrokerLog>,
    client: KafkaClientSpec,
}

impl Cluster {
    /// Errors: `Config`, when librdkafka refuses the properties. The brokers need not answer yet.
    pub fn open(client: &KafkaClientSpec) -> Result<Self> {
        let mut config = client_config(client, &[]);
        // Without it nobody says that a connection is being made.
        config.set("statistics.interval.ms", "100");
        // That a broker hangs up is no error to librdkafka, and its log says why that may be.
        config.set_log_level(RDKafkaLogLevel::Info);
        let consumer = create(&config, BrokerLog::default())?;
        Ok(Cluster { consumer, client: client.clone() })
    }

    /// Partitions of a topic, none if there is no such topic. Errors: why no broker has answered:
    /// `connection refused at localhost:9092`.
    pub fn partition_count(&self, topic: &str) -> std::result::Result<Option<i32>, String> {
        let metadata = self.ask(|consumer, timeout| consumer.fetch_metadata(Some(topic), timeout))?;
        Ok(count_in(&metadata))
    }

    /// How many consumers are in a group now. Errors: as [`Cluster::partition_count`].
    pub fn member_count(&self, group: &str) -> std::result::Result<usize, String> {
        let list = self.ask(|consumer, timeout| consumer.fetch_group_list(Some(group), timeout))?;
        Ok(list.groups().iter().map(|group| group.members().len()).sum())
    }

    /// Repeats a question until it is answered, or the time is over, or all brokers turn us away.
    fn ask<T>(
        &self,
        question: impl Fn(&BaseConsumer<BrokerLog>, Duration) -> KafkaResult<T>,
    ) -> std::result::Result<T, String> {
        let began = Instant::now();
        let mut attempts = ATTEMPTS.into_iter();
        loop {
            let left = METADATA_TIMEOUT.saturating_sub(began.elapsed());
            let error = match question(&self.consumer, attempts.next().unwrap_or(left).min(left)) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };

            if !is_unreachable(&error) {
                return Err(error.to_string());
            }

            // It hands what librdkafka has to say to the context, an error each time.
            while self.consumer.poll(LISTEN).is_some() {}
            let log = self.consumer.context();
            let brokers = &self.client.brokers;
            let is_over = began.elapsed() + Duration::from_millis(10) >= METADATA_TIMEOUT;
            if is_over || began.elapsed() >= TURNED_AWAY_FOR && log.is_turned_away(brokers) {
                log.examine(&self.client, shake_hands);
                return Err(log.no_answer(brokers, METADATA_TIMEOUT));
            }
        }
    }
}

/// The partitions of the one topic that was asked for; none if there is no such topic.
pub(super) fn count_in(metadata: &Metadata) -> Option<i32> {
    let found = metadata.topics().first()?;
    let exists = found.error().is_none() && !found.partitions().is_empty();
    exists.then_some(found.partitions().len() as i32)
}

/// That no broker of a cluster has answered. It is worth trying again.
pub fn away(kind: Kind, why: impl Into<String>) -> Error {
    Error::transient(kind, "cannot reach Kafka").because(why.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn cluster(brokers: &str) -> Cluster {
        Cluster::open(&KafkaClientSpec { brokers: brokers.to_owned(), ..KafkaClientSpec::default() }).unwrap()
    }

    #[test]
    fn a_refused_connection_is_said_at_once() {
        let began = Instant::now();
        let why = cluster("127.0.0.1:1").partition_count("t").unwrap_err();
        assert_eq!(why, "connection refused at 127.0.0.1:1");
        let both = cluster("127.0.0.1:1,127.0.0.1:2").member_count("g").unwrap_err();
        assert_eq!(both, "connection refused at 127.0.0.1:1; connection refused at 127.0.0.1:2");
        // A second each, and a slow machine.
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    }

    #[test]
    fn silence_is_waited_out_and_named() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap().to_string();
        let began = Instant::now();
        let why = cluster(&address).partition_count("t").unwrap_err();
        assert_eq!(why, format!("no answer from {address} within 10 s"));
        assert!(began.elapsed() < METADATA_TIMEOUT + Duration::from_secs(2), "{:?}", began.elapsed());
    }
}
