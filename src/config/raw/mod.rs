//! The pipeline file as it is written: every key of the contract, all of them optional, built or
//! not.
//! It must not know defaults, nor what is built: `check` decides. Its doc comments are the schema's
//! descriptions.

mod deduplicate;
mod forecast;
mod gaps;
mod ingest;
mod kafka;
mod model;
mod one_or_more;
mod or_none;
mod records;
mod sinks;
mod source;
mod text_or;
mod time;
mod window;
mod word;

use schemars::JsonSchema;
use serde::Deserialize;

use super::plan::Delivery;
use super::scalar::{DAY_US, HOUR_US, Length, MS_US, Ordered, Whole};

pub(super) use deduplicate::RawDeduplicate;
pub(super) use forecast::{RawBounds, RawForecast};
pub(super) use gaps::{RawGaps, RawGapsWord};
pub(super) use ingest::{RawHttp, RawInto, RawMqtt};
pub(super) use kafka::RawKafka;
pub(super) use model::{RawLoss, RawModel, RawOptimizer, RawSchedule};
pub(super) use one_or_more::OneOrMore;
pub(super) use or_none::OrNone;
pub(super) use records::{RawCsv, RawHeader, RawMelt};
pub(super) use sinks::{RawHeaders, RawSink, RawSinkFile, RawSinkFormat, RawSinks};
pub(super) use source::{RawFile, RawFormat, RawGenerate, RawRegistry, RawSource};
pub(super) use text_or::TextOr;
pub(super) use time::{RawTime, RawTimeBlock};
pub(super) use window::{RawHopping, RawSession, RawWindow};
pub(super) use word::Word;

/// A tickcast pipeline: one source, its windows, and the forecasts made at each window's close.
///
/// Values may name environment variables: `${VAR}`, `${VAR:-default}`, `${VAR:?message}`; `$${` is
/// a literal `${`. Variables are filled in values only, never in keys. `--set key.path=value` sets
/// a key on the command line. Paths are relative to the pipeline file. Unknown keys are errors.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "tickcast pipeline")]
pub(super) struct RawPipeline {
    /// Name of the pipeline: letters, digits, `.`, `_` and `-`. Default: the file's name without
    /// its extension.
    pub name: Option<String>,
    /// Where records come from.
    #[schemars(required)]
    pub source: Option<RawSource>,
    /// What names a record's series: a column, a list of columns whose values are joined by `/`, or
    /// the word none. A column is a name; a path into objects, like `payload.id`; or what Kafka has
    /// of a record: `$key`, `$headers.NAME`, `$partition`. Default with `generate`: series. Without
    /// one all records are of one series, which has the pipeline's name.
    pub key: Option<OneOrMore>,
    /// A record's event time: the column that holds it, or a block that says too how it is written.
    /// Without more, each form is read that means one instant only; in UTC, where it names no zone.
    /// Default with `generate`: time.
    pub time: Option<RawTime>,
    /// Columns that are made of others before windows, and their SQL expressions, in order, like
    /// `{ celsius: (f - 32) / 1.8 }`. Each sees those before it; one with the name of a record's
    /// column replaces that. Default: no columns.
    pub derive: Option<Ordered>,
    /// Which records count: an SQL condition over the columns of a record and those that are
    /// derived, like `"quality = 'ok'"`. Records of which it is not true are left out, and counted.
    /// Default: all records.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// Records that come more than once count once: `{}`, or which are the same. The others become
    /// rejects with the reason `duplicate`. Default: each record counts.
    pub deduplicate: Option<RawDeduplicate>,
    /// How records become windows.
    #[schemars(required)]
    pub window: Option<RawWindow>,
    /// What is forecast, and by what.
    #[schemars(required)]
    pub forecast: Option<RawForecast>,
    /// Where results go. Default: forecasts to stdout.
    pub sinks: Option<RawSinks>,
    /// Where learned state is kept: a restart goes on from there. `model export` and `model import`
    /// need a directory. Default with a Kafka source: the topic `NAME.state` if all sinks are
    /// topics on the source's brokers and delivery is not at_least_once, else the directory
    /// `state/NAME`. With another source: nowhere.
    pub state: Option<RawState>,
    /// Guarantee for the results. exactly_once needs ends that can take part in one commit: topics
    /// of one cluster with the state in a topic there, or directories with the state in a
    /// directory; neither standard input nor output. Default: exactly_once where all ends can, else
    /// at_least_once.
    pub delivery: Option<Delivery>,
    /// Time between commits, at most. Forecasts of records that the source has had for less than a
    /// second are committed sooner: as soon as nothing more comes of their windows, but not before
    /// a tenth of this time. Default: 100ms.
    pub commit_every: Option<Length<MS_US, HOUR_US>>,
    /// How long making the state again may take after a crash. The state is saved before working
    /// again on what came since would take longer, by the time that it took in this run; and 30 s
    /// after the first record that it does not know, or later where it takes long to write.
    /// Default: 10s.
    pub recover_within: Option<Length<MS_US, DAY_US>>,
    /// What is kept at most.
    pub limits: Option<RawLimits>,
    /// Partition workers. Default: the cores.
    pub workers: Option<Whole<1, 1024>>,
    /// Addresses to serve on. Default: none.
    pub serve: Option<RawServe>,
}

/// One of `dir` and `kafka`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawState {
    /// Directory of the state, relative to the pipeline file.
    pub dir: Option<String>,
    /// State topic; it must be neither the source's topic nor a sink's.
    pub kafka: Option<RawKafka>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    /// Series of a partition. Where there are more, those that have been silent for longest are
    /// forgotten: their windows, and all that was learned of them alone. They begin anew with their
    /// next record. Default: 1000000.
    pub series: Option<Whole<1, 100_000_000>>,
    /// Bytes of a record. Not yet built: 900000.
    pub record_bytes: Option<Whole<1, 1_000_000_000>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServe {
    /// Address like 127.0.0.1:8088. It serves a status page at `/`, and `/metrics`, `/health` and
    /// `/ready`. Default: none.
    pub http: Option<String>,
    /// Address of the SQL server. Not yet built.
    pub postgres: Option<String>,
}
