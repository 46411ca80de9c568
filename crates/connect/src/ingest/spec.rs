//! What comes in by which way, and which log it goes to.
//! It must not take anything in.

use std::fmt;
use std::net::SocketAddr;

use tickcast_stream::error::Result;

use super::body::BodySpec;
use super::kafka_log::KafkaLog;
use super::log::RecordLog;
use crate::journal::{JournalSpec, JournalWriter, Needed};
use crate::kafka::KafkaTopicSpec;
use crate::mqtt::MqttSpec;
use crate::secret::Secret;

/// Records that are pushed: how, and into which log.
#[derive(Debug, Clone)]
pub struct IngestSpec {
    /// How they come.
    pub way: IngestWay,
    /// What keeps them.
    pub log: IngestLogSpec,
}

/// How records are pushed.
#[derive(Debug, Clone)]
pub enum IngestWay {
    /// Senders post them.
    Http(HttpIngestSpec),
    /// A broker has them.
    Mqtt(MqttSpec),
}

/// Records that are posted.
#[derive(Debug, Clone)]
pub struct HttpIngestSpec {
    /// Below which path, like `/ingest/weather`.
    pub path: String,
    /// Where it listens; none: where the pipeline serves its page.
    pub listen: Option<SocketAddr>,
    /// What a sender has to show; none: nothing.
    pub token: Option<Secret>,
    /// Whether other machines may send without a token.
    pub is_open: bool,
    /// The bytes that a body may have, unpacked too.
    pub body_bytes_max: usize,
    /// What bodies may be.
    pub body: BodySpec,
    /// The columns that name the series, where the log has partitions.
    pub key_columns: Vec<String>,
}

/// A log that keeps what comes in.
#[derive(Debug, Clone)]
pub enum IngestLogSpec {
    /// A directory of this machine.
    Journal(JournalSpec),
    /// A topic.
    Kafka(KafkaTopicSpec),
}

impl fmt::Display for IngestSpec {
    /// Where records come from and go to, for a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = self.log.label();
        match &self.way {
            IngestWay::Http(http) => write!(f, "records that are posted to {} go into {to}", http.path),
            IngestWay::Mqtt(mqtt) => write!(f, "messages of {} go into {to}", mqtt.address()),
        }
    }
}

impl IngestLogSpec {
    /// Opens it to be written. `needed` says which record is still needed, where the log is to drop
    /// old ones itself. Errors: `Source`; `Retry::Later` while no broker answers.
    pub fn open(&self, needed: Needed) -> Result<Box<dyn RecordLog>> {
        match self {
            IngestLogSpec::Journal(spec) => Ok(Box::new(JournalWriter::open(spec, needed)?)),
            IngestLogSpec::Kafka(topic) => Ok(Box::new(KafkaLog::open(topic)?)),
        }
    }

    /// Its name, for a person.
    pub fn label(&self) -> String {
        match self {
            IngestLogSpec::Journal(spec) => format!("the journal {}", spec.dir.display()),
            IngestLogSpec::Kafka(topic) => format!("topic {}", topic.topic),
        }
    }
}
