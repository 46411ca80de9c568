//! The `source` block as it is written.
//! It must not know defaults, nor what is built.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::scalar::{DAY_US, Length, Whole};
use super::{RawCsv, RawHttp, RawKafka, RawMelt, RawMqtt, Word};
use tickcast_connect::{Envelope, FileEnd, FileOrder, Process, Tombstones};

/// Exactly one of `kafka`, `file`, `http`, `mqtt` and `generate`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawSource {
    /// A Kafka topic.
    pub kafka: Option<RawKafka>,
    /// A file, several that are read one after the other, or standard input.
    pub file: Option<RawFile>,
    /// Records that are posted.
    pub http: Option<RawHttp>,
    /// Messages of an MQTT broker.
    pub mqtt: Option<RawMqtt>,
    /// Made-up series.
    pub generate: Option<RawGenerate>,
    /// Format of messages, of Kafka and MQTT, and of what is posted (default: json), or of a file
    /// whose name does not tell.
    pub format: Option<RawFormat>,
    /// Schema of the records, relative to the pipeline file: an Avro schema (`.avsc`), which says
    /// too what the columns of JSON and CSV are; of these also a JSON Schema (`.json`), which no
    /// record is checked by; with `format: protobuf` a descriptor set or a `.proto` file. Without
    /// one, every column that an expression names is read as a number. A Parquet file has its own
    /// types, and an Avro file its own schema, which this one reads.
    pub schema: Option<String>,
    /// The full name of the records' message, like `plant.Reading`, with `format: protobuf`.
    /// Without it, it is the only one of the schema.
    pub message: Option<String>,
    /// The schema registry that has the schemas of Avro's and Protobuf's records, which they name
    /// by number. Without `schema` they are read by the newest of the subject `TOPIC-value`. With
    /// `format: json` that one says the types of columns.
    pub registry: Option<RawRegistry>,
    /// How CSV is written, of a file or of a topic's messages.
    pub csv: Option<RawCsv>,
    /// Words that stand for no value, whatever the case of their letters; `""` for an empty field.
    /// They hold for columns of every type but for `key`. Without it the words are `""`, `NA`,
    /// `N/A`, `#N/A`, `NaN`, `null`, `none`, `-`, `?` and `\N`, but not for columns of text, which
    /// may mean them.
    pub nulls: Option<Vec<Word>>,
    /// Path of a list, like `payload.readings`: each of its elements is a row of its own, with the
    /// fields of the record beside its own; where both have one, the element's counts. An element
    /// that is no object is the column of the path itself. Without it a record is one row.
    pub unnest: Option<String>,
    /// Columns that become rows, as those of a wide file with a sensor a column.
    pub melt: Option<RawMelt>,
    /// What is around the row in a record: a change event of Debezium, whose row is `after`. Its
    /// columns are those of `after`, and beside them the envelope's own where `after` has none of
    /// that name: `op`, `ts_ms`, `source.ts_ms`, `before.temp`. Events that delete a row or empty a
    /// table are passed over, and counted. Flattened events need none. Without it a record is the
    /// row itself.
    pub envelope: Option<Envelope>,
    /// What becomes of a topic's records without a value, which say that a key is deleted. Default:
    /// pass_over.
    pub tombstones: Option<Tombstones>,
    /// How far a record's time may be ahead: of its own timestamp in Kafka; of the latest record
    /// before it in a source that has no timestamps. What is further ahead is rejected as future;
    /// without timestamps only if it would close the window of the latest record and the record
    /// after it does not confirm it. Default: 5m.
    pub future: Option<Length<0, { 36_600 * DAY_US }>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawFile {
    /// A csv, ndjson, avro or parquet file, the first two also as .gz or .zst; `-` is standard
    /// input, which needs `source.format`. A directory (`data/`) or a pattern (`data/*.csv.gz`,
    /// with `*`, `?` and `[a-z]` in names) is read file by file, in the order of their names, in
    /// which digits count as numbers. They are one partition, and of one format.
    #[schemars(required)]
    pub path: Option<String>,
    /// What the end of the file means. Default: close.
    pub end: Option<FileEnd>,
    /// In which order its records are taken. Default: arrival.
    pub order: Option<FileOrder>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawGenerate {
    /// Number of series. Default: 10.
    pub series: Option<Whole<1, 1_000_000>>,
    /// Number of ticks. Default: 100000.
    pub ticks: Option<Whole<1, { i64::MAX }>>,
    /// Ticks a second. Default: as fast as they are taken.
    pub rate: Option<f64>,
    /// Seed of the random numbers. Default: 1.
    pub seed: Option<Whole<0, { i64::MAX }>>,
    /// What the series look like. Default: market.
    pub process: Option<Process>,
    /// Number of partitions. Default: 1.
    pub partitions: Option<Whole<1, 1024>>,
}

#[derive(Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum RawFormat {
    Json,
    Csv,
    /// Of a topic: bare, as single objects, or in the wire format of a schema registry. Of a file:
    /// an object container file.
    Avro,
    /// Of a topic: bare, or in the wire format of a schema registry.
    Protobuf,
}

/// A schema registry, of Confluent's API.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawRegistry {
    /// Its address, like `https://registry:8081`; several with commas between them are tried in
    /// turn.
    #[schemars(required)]
    pub url: Option<String>,
    /// Whom it knows the pipeline as, where it wants a login.
    pub username: Option<String>,
    /// The file that has the user's password, relative to the pipeline file.
    pub password_file: Option<String>,
    /// The file of the authorities (PEM) that may have signed its certificate, relative to the
    /// pipeline file. Without it, they are those of the system.
    pub ca_file: Option<String>,
}
