//! Checks the sources that records are pushed to: where they come in, and what keeps them.
//! It must not open anything.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tickcast_connect::ingest::{BodySpec, HttpIngestSpec, IngestLogSpec, IngestSpec, IngestWay};
use tickcast_connect::mqtt::{MqttSpec, MqttVersion};
use tickcast_connect::{JournalSpec, KafkaTopicSpec, Secret, SourceSpec, Tail, WireFormat};

use super::{Checker, micros};
use crate::config::fault::quoted;
use crate::config::plan::{RecordsSpec, ServeSpec};
use crate::config::raw::{OneOrMore, RawHttp, RawInto, RawKafka, RawMqtt};
use crate::config::scalar::{DAY_US, Length};

/// How long records are kept that nobody needs.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);
/// The bytes of a request's body.
const BODY_BYTES: usize = 8 << 20;
/// The longest text in a packet of MQTT.
const TEXT_BYTES_MAX: usize = 65_535;
/// How long a journal keeps records, as it is written.
type Keep = Length<0, { 36_600 * DAY_US }>;
/// Paths that the pipeline's own pages have.
const OURS: [&str; 6] = ["/", "/metrics", "/health", "/ready", "/api", "/ingest"];

impl Checker<'_> {
    /// Records that are posted, and the log that the pipeline reads.
    pub fn http_source(
        &mut self,
        raw: RawHttp,
        name: &str,
        records: &RecordsSpec,
    ) -> (SourceSpec, IngestSpec) {
        let RawHttp { path, listen, token_file, open, body_bytes, journal, keep, into } = raw;
        let help = format!("a path like /ingest/{name}");
        let path = self.required_text(path, "source.http.path", &help);
        if !path.is_empty() && !is_path(&path) {
            let message = format!("{} cannot be the path", quoted(&path));
            self.fault_with_help("source.http.path", message, &help);
        }

        let listen = listen.and_then(|text| self.address(&text, "source.http.listen", "127.0.0.1:8090"));
        let token = token_file.map(|file| Secret::in_file(self.file_path(&file)));
        if let Some(Err(error)) = token.as_ref().map(Secret::read) {
            self.fault("source.http.token_file", super::kafka::unreadable(&error));
        }
        if token.is_some() && open == Some(true) {
            self.fault("source.http.open", "token_file is there: requests have to show it");
        }

        let csv_header = records.csv.names().map(|names| {
            let delimiter = records.csv.style().delimiter;
            names.join(&char::from(delimiter).to_string())
        });
        let body = BodySpec { format: records.format, csv_header };
        let http = HttpIngestSpec {
            path,
            listen,
            token,
            is_open: open.unwrap_or(false),
            body_bytes_max: body_bytes.map_or(BODY_BYTES, |bytes| bytes.0 as usize),
            body,
            key_columns: Vec::new(),
        };
        let (source, log) = self.ingest_log("source.http", (journal, keep), into, name);
        (source, IngestSpec { way: IngestWay::Http(http), log })
    }

    /// Messages of a broker, and the log that the pipeline reads.
    pub fn mqtt_source(&mut self, raw: RawMqtt, name: &str) -> (SourceSpec, IngestSpec) {
        let help = "write it like localhost:1883, or mqtts://host:8883";
        let broker = self.required_text(raw.broker, "source.mqtt.broker", help);
        let address = broker_address(&broker);
        if address.is_none() && !broker.is_empty() {
            self.fault_with_help("source.mqtt.broker", format!("{} is no broker", quoted(&broker)), help);
        }
        let (host, port, has_tls) = address.unwrap_or_default();

        if raw.ca_file.is_some() && !has_tls && !host.is_empty() {
            self.fault_with_help(
                "source.mqtt.ca_file",
                "the broker is reached without TLS",
                "write mqtts://",
            );
        }
        if raw.qos.is_some_and(|qos| qos.0 != 1) {
            let message = "only 1 is taken: 0 loses messages, and 2 gives nothing more into a log";
            self.fault("source.mqtt.qos", message);
        }

        let version = match raw.version.as_ref().map(|word| word.0.as_str()) {
            None | Some("5" | "5.0") => MqttVersion::V5,
            Some("3.1.1") => MqttVersion::V311,
            Some(other) => {
                let message = format!("{} is no version that is spoken", quoted(other));
                self.fault_with_help("source.mqtt.version", message, "3.1.1 or 5");
                MqttVersion::V5
            }
        };

        if raw.password_file.is_some() && raw.username.is_none() {
            self.fault("source.mqtt.password_file", "needs username beside it");
        }
        let password = raw.password_file.map(|file| Secret::in_file(self.file_path(&file)));
        if let Some(Err(error)) = password.as_ref().map(Secret::read) {
            self.fault("source.mqtt.password_file", super::kafka::unreadable(&error));
        }

        let mqtt = MqttSpec {
            host,
            port,
            has_tls,
            ca_file: raw.ca_file.map(|file| self.file_path(&file)),
            topics: self.mqtt_topics(raw.topics.as_ref()),
            client_id: self.client_id(raw.client_id, name),
            username: raw.username,
            password,
            version,
        };
        let (source, log) = self.ingest_log("source.mqtt", (raw.journal, raw.keep), raw.into, name);
        (source, IngestSpec { way: IngestWay::Mqtt(mqtt), log })
    }

    fn client_id(&mut self, id: Option<String>, name: &str) -> String {
        let id = id.unwrap_or_else(|| format!("tickcast-{name}"));
        if id.is_empty() || id.len() > TEXT_BYTES_MAX {
            let message = "without a name the broker keeps nothing while the pipeline is away";
            self.fault("source.mqtt.client_id", message);
        }
        id
    }

    fn mqtt_topics(&mut self, topics: Option<&OneOrMore>) -> Vec<String> {
        const PATH: &str = "source.mqtt.topics";
        let topics = topics.map(|topics| topics.all().to_vec());

        let topics = self.required(topics, PATH, "a topic, or a list, like plant/+/temperature");
        if !self.is_faulty(PATH) {
            self.not_empty(PATH, &topics);
        }

        for topic in topics.iter().filter(|topic| !is_filter(topic)) {
            let help = "+ stands for a whole level, and # for all levels at the end";
            self.fault_with_help(PATH, format!("{} is no topic of MQTT", quoted(topic)), help);
        }
        topics
    }

    /// The log that keeps what is pushed, as the pipeline reads it and as ingestion writes it.
    fn ingest_log(
        &mut self,
        path: &str,
        (journal, keep): (Option<String>, Option<Keep>),
        into: Option<RawInto>,
        name: &str,
    ) -> (SourceSpec, IngestLogSpec) {
        if let Some(into) = into {
            for (key, is_there) in [("journal", journal.is_some()), ("keep", keep.is_some())] {
                if is_there {
                    self.fault(&format!("{path}.{key}"), "belongs to a journal; into is there already");
                }
            }
            let at = format!("{path}.into");
            let kafka = self.required(into.kafka, &format!("{at}.kafka"), "the topic that keeps the records");
            return self.ingest_topic(kafka, &format!("{at}.kafka"), name);
        }

        let dir = match journal {
            Some(dir) => self.file_path(&dir),
            None => self.file_path("journal").join(name),
        };
        let journal = JournalSpec {
            dir,
            keep: keep.map_or(KEEP, |keep| micros(keep.0)),
            segment_bytes: JournalSpec::SEGMENT_BYTES,
            tail: Tail::default(),
        };
        (SourceSpec::Journal(journal.clone()), IngestLogSpec::Journal(journal))
    }

    fn ingest_topic(&mut self, raw: RawKafka, path: &str, name: &str) -> (SourceSpec, IngestLogSpec) {
        let source = self.kafka_source(raw, path, name);
        let topic = source.traits().label;
        let client = super::kafka::inherited(&source);
        (source, IngestLogSpec::Kafka(KafkaTopicSpec { client, topic }))
    }

    /// The columns that name the series of a posted record: only where they spread over partitions
    /// they have to be known.
    pub fn ingest_key(ingest: &mut Option<IngestSpec>, records: &RecordsSpec, key: &[String]) {
        if let Some(IngestSpec { way: IngestWay::Http(http), log: IngestLogSpec::Kafka(_) }) = ingest
            && records.format == WireFormat::Json
        {
            http.key_columns = key.to_vec();
        }
    }

    /// Where records come in, once it is known where the pipeline serves.
    pub fn ingest_address(&mut self, ingest: Option<&IngestSpec>, serve: &ServeSpec) {
        let Some(IngestSpec { way: IngestWay::Http(http), .. }) = ingest else { return };
        if ["source.http.listen", "serve"].iter().any(|path| self.is_faulty(path)) {
            return;
        }

        let (path, address) = match (http.listen, serve.http) {
            (Some(address), _) => ("source.http.listen", address),
            (None, Some(address)) => ("serve.http", address),
            (None, None) => {
                let help = "add listen: 127.0.0.1:8090, or serve.http";
                self.fault_with_help("source.http", "needs an address", help);
                return;
            }
        };
        if http.listen.is_some() && http.listen == serve.http && address.port() != 0 {
            self.fault_with_help(
                path,
                "is the address of serve.http",
                "leave listen out: that is the default",
            );
        }
        if !address.ip().is_loopback() && http.token.is_none() && !http.is_open {
            let message =
                format!("{} takes records from other machines without a token", quoted(&address.to_string()));
            self.fault_with_help(path, message, "add source.http.token_file, or open: true to allow it");
        }
    }

    /// An address and a port.
    pub fn address(&mut self, text: &str, path: &str, example: &str) -> Option<SocketAddr> {
        let address = text.parse().ok();
        if address.is_none() {
            let message = format!("{} is no address", quoted(text));
            self.fault_with_help(path, message, &format!("write it like {example}"));
        }
        address
    }
}

/// Whether a path has a place of its own, and only characters that mean themselves.
fn is_path(path: &str) -> bool {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "/._-".contains(char);
    let is_whole = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.starts_with('/')
        && path.len() <= 200
        && path.chars().all(is_plain)
        && path[1..].split('/').all(is_whole)
        && !OURS.contains(&path)
        && !Path::new(path).starts_with("/api")
}

/// `localhost:1883`, `mqtt://host`, `mqtts://host:8883`: host, port, and whether by TLS.
fn broker_address(text: &str) -> Option<(String, u16, bool)> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("mqtt", text));
    let has_tls = match scheme {
        "mqtt" | "tcp" => false,
        "mqtts" | "ssl" | "tls" => true,
        _ => return None,
    };
    let usual = if has_tls { 8883 } else { 1883 };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[') {
        Some(inner) => {
            let (host, port) = inner.split_once(']')?;
            (host, port.strip_prefix(':'))
        }
        None => rest.rsplit_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };

    let is_host = |char: char| char.is_ascii_alphanumeric() || ".-_:%".contains(char);
    let is_good = !host.is_empty() && host.len() <= 255 && host.chars().all(is_host);
    let port = port.map_or(Some(usual), |port| port.parse().ok().filter(|port| *port > 0))?;
    is_good.then(|| (host.to_owned(), port, has_tls))
}

/// MQTT's rule for topic filters.
fn is_filter(topic: &str) -> bool {
    let levels: Vec<&str> = topic.split('/').collect();
    let is_level = |(at, level): (usize, &&str)| match *level {
        "+" => true,
        "#" => at + 1 == levels.len(),
        plain => !plain.contains(['+', '#', '\0']),
    };
    !topic.is_empty() && topic.len() <= TEXT_BYTES_MAX && levels.iter().enumerate().all(is_level)
}
