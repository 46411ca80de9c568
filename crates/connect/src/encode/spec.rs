//! How results are written to a topic, as the pipeline says it.
//! It must not write.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::registry::RegistrySpec;

/// How the records of a stream are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PayloadSpec {
    /// The format of values.
    pub format: PayloadFormat,
    /// The format of keys.
    pub key: KeyFormat,
    /// Where their schemas are registered: each record then begins with the number of its schema.
    /// None: records are bare.
    pub registry: Option<Box<ResultRegistry>>,
    /// The `source` of CloudEvents' headers; none: records have no headers.
    pub event_source: Option<String>,
}

/// The format of a result's value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PayloadFormat {
    /// A JSON object.
    #[default]
    Json,
    /// An Avro record.
    Avro,
    /// A Protobuf message.
    Protobuf,
}

/// The format of a result's key, which is the name of its series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyFormat {
    /// The name's characters in UTF-8.
    #[default]
    Text,
    /// A JSON string.
    Json,
    /// An Avro string.
    Avro,
    /// A Protobuf message with the name as its field 1.
    Protobuf,
}

/// A registry for the schemas of results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultRegistry {
    /// How it is reached.
    pub spec: RegistrySpec,
    /// What the schemas are registered under.
    pub subject: SubjectName,
}

/// What the schema of a topic's values is registered under. That of its keys is always under
/// `TOPIC-key`: a name is no record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubjectName {
    /// `TOPIC-value`.
    #[default]
    Topic,
    /// The record's full name: `tickcast.Forecast`.
    Record,
    /// Both: `TOPIC-tickcast.Forecast`.
    TopicRecord,
}

impl SubjectName {
    /// The subject of the values of a topic, whose record has this full name.
    pub(super) fn of(self, topic: &str, record: &str) -> String {
        match self {
            SubjectName::Topic => format!("{topic}-value"),
            SubjectName::Record => record.to_owned(),
            SubjectName::TopicRecord => format!("{topic}-{record}"),
        }
    }
}
