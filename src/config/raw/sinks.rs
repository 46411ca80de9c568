//! The `sinks` block as it is written; a sink may be the word `stdout`.
//! It must not know defaults, nor what is built.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};
use tickcast_connect::{KeyFormat, SubjectName};

use super::super::fault::quoted;
use super::{OrNone, RawKafka, RawRegistry};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawSinks {
    /// The forecasts. Default: stdout.
    pub forecasts: Option<RawSink>,
    /// The scores of past forecasts. Default: nowhere.
    pub scores: Option<RawSink>,
    /// The records that could not be used (a dead-letter queue). A file has their bytes in
    /// hexadecimal. Default: nowhere.
    pub rejects: Option<RawSink>,
}

/// Exactly one of stdout, file and kafka.
#[derive(Default)]
pub(in super::super) struct RawSink {
    pub stdout: bool,
    pub file: Option<RawSinkFile>,
    pub kafka: Option<RawKafka>,
    pub format: Option<RawSinkFormat>,
    pub key_format: Option<KeyFormat>,
    pub registry: Option<OrNone<RawRegistry>>,
    pub subject: Option<SubjectName>,
    pub headers: Option<RawHeaders>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawSinkBlock {
    /// Standard output.
    stdout: Option<RawStdout>,
    /// A directory that gets one file a partition.
    file: Option<RawSinkFile>,
    /// A Kafka topic. One that is missing is created with the source's number of partitions.
    kafka: Option<RawKafka>,
    /// Format: ndjson (default) or parquet for files; json (default), avro or protobuf for a topic
    /// of forecasts or scores; json for standard output.
    format: Option<RawSinkFormat>,
    /// The format of a topic's keys, which are the names of series. Default: text.
    key_format: Option<KeyFormat>,
    /// The registry for the schemas of a topic's results: they are registered when a run starts,
    /// and each record begins with the number of its own. Without it, avro and protobuf have the
    /// source's, where it has one; with `none` records are bare.
    registry: Option<OrNone<RawRegistry>>,
    /// What the schema of values is registered under; that of keys is always under `TOPIC-key`.
    /// Default: topic.
    subject: Option<SubjectName>,
    /// Headers of a topic's records; without it they have none.
    headers: Option<RawHeaders>,
}

/// Headers of a record.
#[derive(Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in super::super) enum RawHeaders {
    /// Those of CloudEvents 1.0 in their binary form: `ce_id`, `ce_source`, `ce_type`, `ce_time`,
    /// `ce_subject`, `ce_specversion` and `content-type`.
    CloudEvents,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawStdout {}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawSinkFile {
    /// A directory, relative to the pipeline file; it gets one file a partition.
    #[schemars(required)]
    pub path: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum RawSinkFormat {
    Json,
    Ndjson,
    Parquet,
    Avro,
    Protobuf,
}

// Not serde's `untagged`: that would lose the place and the words of a fault inside.
impl<'de> Deserialize<'de> for RawSink {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SinkVisitor)
    }
}

struct SinkVisitor;

impl<'de> Visitor<'de> for SinkVisitor {
    type Value = RawSink;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("stdout, { file: … } or { kafka: … }")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<RawSink, E> {
        match word {
            "stdout" => Ok(RawSink { stdout: true, ..RawSink::default() }),
            _ => Err(E::custom(format!(
                "unknown sink {}\nstdout, {{ file: … }} or {{ kafka: … }}",
                quoted(word)
            ))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawSink, A::Error> {
        let block = RawSinkBlock::deserialize(MapAccessDeserializer::new(map))?;
        let RawSinkBlock { stdout, file, kafka, format, key_format, registry, subject, headers } = block;
        Ok(RawSink { stdout: stdout.is_some(), file, kafka, format, key_format, registry, subject, headers })
    }
}

impl JsonSchema for RawSink {
    fn schema_name() -> Cow<'static, str> {
        "RawSink".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let block = generator.subschema_for::<RawSinkBlock>();
        schemars::json_schema!({ "anyOf": [{ "const": "stdout" }, block] })
    }
}
