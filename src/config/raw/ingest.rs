//! The blocks of sources that records are pushed to, as they are written.
//! It must not know defaults, nor what is built.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::scalar::{DAY_US, Length, Whole};
use super::{OneOrMore, RawKafka, Word};

/// Records that are posted over HTTP. An answer 204 says that they are durable; a sender that gets
/// none sends them again, and then they may be there twice: at least once.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawHttp {
    /// Where records are posted, like `/ingest/weather`.
    #[schemars(required)]
    pub path: Option<String>,
    /// Address to listen at, like 127.0.0.1:8090. Default: that of `serve.http`.
    pub listen: Option<String>,
    /// The file of the token that a request has to show, as `Authorization: Bearer TOKEN`, relative
    /// to the pipeline file. It is read at each request. Default: no token, which is for addresses
    /// of this machine only.
    pub token_file: Option<String>,
    /// Whether requests from other machines are taken without a token. Default: false.
    pub open: Option<bool>,
    /// Bytes of a request's body, also when it is unpacked. Default: 8388608.
    pub body_bytes: Option<Whole<1024, { 256 << 20 }>>,
    /// The directory that keeps the records, relative to the pipeline file. Default, without
    /// `into`: `journal/NAME`.
    pub journal: Option<String>,
    /// How long a journal keeps records that the state does not need any more. Default: 7d.
    pub keep: Option<Length<0, { 36_600 * DAY_US }>>,
    /// What keeps the records in place of a journal.
    pub into: Option<RawInto>,
}

/// Messages of an MQTT broker, taken with quality of service 1: one is acknowledged when it is
/// durable. After a crash some come again: at least once. A record's `$key` is its MQTT topic, and
/// with MQTT 5 its `$headers.NAME` are the user properties.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawMqtt {
    /// The broker, like `localhost:1883`, `mqtt://host` or, with TLS, `mqtts://host:8883`.
    #[schemars(required)]
    pub broker: Option<String>,
    /// A topic, or a list of topics, with MQTT's wildcards `+` and `#`.
    #[schemars(required)]
    pub topics: Option<OneOrMore>,
    /// Quality of service. Only 1 is of use: with 0 messages are lost, and 2 gives nothing more
    /// here. Default: 1.
    pub qos: Option<Whole<0, 2>>,
    /// Version of MQTT: `3.1.1` or `5`. Default: 5.
    pub version: Option<Word>,
    /// The name under which the broker keeps what comes while the pipeline is away. Another client
    /// of this name ends the connection. Default: `tickcast-NAME`.
    pub client_id: Option<String>,
    /// Whom the broker knows the pipeline as.
    pub username: Option<String>,
    /// The file that has the user's password, relative to the pipeline file.
    pub password_file: Option<String>,
    /// The file of the authorities (PEM) that may have signed the broker's certificate, relative to
    /// the pipeline file. Default: those of the system.
    pub ca_file: Option<String>,
    /// The directory that keeps the records, relative to the pipeline file. Default, without
    /// `into`: `journal/NAME`.
    pub journal: Option<String>,
    /// How long a journal keeps records that the state does not need any more. Default: 7d.
    pub keep: Option<Length<0, { 36_600 * DAY_US }>>,
    /// What keeps the records in place of a journal.
    pub into: Option<RawInto>,
}

/// A log that somebody else keeps.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawInto {
    /// A topic. Records are written to it with `acks: all`, and the pipeline reads it as a Kafka
    /// source does. Where it is missing it is made with one partition.
    #[schemars(required)]
    pub kafka: Option<RawKafka>,
}
