//! Why a broker does not answer, in plain words.
//! It must not ask a broker. It is the only place that reads librdkafka's texts.
//!
//! A call to librdkafka that fails says no more than `BrokerTransportFailure`. The reason comes
//! apart from it, to the client's context: `localhost:9092/bootstrap: Connect to
//! ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;

use tickcast_stream::lock::lock;

use super::handshake::Handshake;
use super::spec::KafkaClientSpec;

const NO_TLS: &str = "the listener may have no TLS, see security.protocol";
const WANTS_TLS: &str = "it may want TLS, see security.protocol";
const WANTS_SASL: &str = "it may want SASL, see security.protocol";

/// What one broker did instead of answering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerTrouble {
    /// `host:port`.
    pub broker: String,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Refused,
    /// No connection for another reason, in the words of the operating system.
    NoConnection(String),
    Unresolved(String),
    Tls(String),
    /// We do not believe its certificate.
    Certificate(String),
    Authentication(String),
    /// It hung up, and what that hints at.
    Closed(Option<&'static str>),
    Silent,
    Other(String),
}

impl BrokerTrouble {
    /// Reads a text of librdkafka; none, where it is not about a broker.
    pub fn read(reason: &str) -> Option<Self> {
        let reason = match reason.strip_prefix("[thrd:") {
            Some(rest) => rest.split_once("]: ")?.1,
            None => reason,
        };
        let (name, text) = reason.split_once(": ")?;
        // `sasl_ssl://host:9092/1`: a protocol before it, a broker's id or `bootstrap` after it.
        let name = name.split_once("://").map_or(name, |(_, rest)| rest);
        let (broker, _) = name.rsplit_once('/')?;
        let text = text.rfind(" (after ").map_or(text, |end| text[..end].trim_end());
        Some(BrokerTrouble { broker: broker.to_owned(), what: What::read(text) })
    }

    /// Whether the broker gave an answer, which will not change within seconds.
    fn is_decided(&self) -> bool {
        !matches!(self.what, What::Silent | What::Other(_))
    }
}

impl What {
    fn read(text: &str) -> Self {
        if let Some(failed) = text.strip_prefix("Connect to ") {
            let why = failed.split_once(" failed: ").map_or(failed, |(_, why)| why);
            return if why == "Connection refused" {
                What::Refused
            } else {
                What::NoConnection(why.to_owned())
            };
        }
        if let Some(failed) = text.strip_prefix("Failed to resolve ") {
            let why = failed.rsplit_once("': ").map_or(failed, |(_, why)| why);
            return What::Unresolved(why.to_owned());
        }

        if text.contains("PLAINTEXT broker listener") {
            return What::Tls(NO_TLS.to_owned());
        }
        if let Some(why) = alert(text) {
            return What::Tls(why);
        }
        if let Some(why) = text.strip_prefix("SSL handshake failed: ") {
            let why = without_openssl(why).to_owned();
            let is_ours = why.contains("certificate verify failed");
            return if is_ours { What::Certificate(why) } else { What::Tls(why) };
        }
        if text.contains("SSL connection handshake") {
            return What::Tls("the broker hung up".to_owned());
        }
        if let Some(rest) = text.strip_prefix("SASL ") {
            let why = rest.split_once(": ").map_or(rest, |(_, why)| why);
            let why = why.strip_prefix("Authentication failed: ").unwrap_or(why);
            let why = why.strip_prefix("Broker: ").unwrap_or(why);
            if let Some((_, mechanism)) = why.split_once("invalid credentials with SASL mechanism ") {
                return What::Authentication(format!("Invalid username or password ({mechanism})"));
            }
            // It lists none, where it has none.
            return What::Authentication(why.trim_end_matches(": broker's supported mechanisms:").to_owned());
        }

        if text.starts_with("Disconnected") {
            return What::Closed(hint(text));
        }
        if text.ends_with(" failed: Broken pipe") || text.ends_with(" failed: Connection reset by peer") {
            return What::Closed(None);
        }
        if text.contains("timed out") || text.contains("Timed out") {
            return What::Silent;
        }
        What::Other(text.to_owned())
    }
}

/// `error:0A000086:SSL routines::certificate verify failed: …` without its code.
fn without_openssl(text: &str) -> &str {
    if !text.starts_with("error:") {
        return text;
    }
    let routine = text.split_once("SSL routines:").map_or(text, |(_, rest)| rest);
    routine.split_once(':').map_or(routine, |(_, why)| why)
}

/// What the broker says of our certificate. It comes behind the handshake, with TLS 1.3.
fn alert(text: &str) -> Option<String> {
    let (_, alert) = text.split_once("alert ")?;
    let alert = alert.split(':').next().unwrap_or(alert);
    let what = match alert {
        "bad certificate" | "certificate required" | "handshake failure" => {
            "the broker wants a certificate of ours, or does not take the one it gets"
        }
        "unknown ca" => "the broker does not know who has signed our certificate",
        // What Java says of all that has no word of its own.
        "certificate unknown" => {
            "the broker does not believe our certificate: it may have expired, or be signed by somebody unknown"
        }
        "certificate expired" => "our certificate has expired",
        "certificate revoked" => "our certificate was revoked",
        _ => return None,
    };
    Some(format!("{what} (alert {alert}), see ssl.certificate.location and ssl.key.location"))
}

/// What librdkafka guesses from the moment at which a broker hangs up.
fn hint(text: &str) -> Option<&'static str> {
    if text.contains("SSL listener") {
        Some(WANTS_TLS)
    } else if text.contains("require SASL") {
        Some(WANTS_SASL)
    } else {
        None
    }
}

impl fmt::Display for BrokerTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let broker = &self.broker;
        match &self.what {
            What::Refused => write!(f, "connection refused at {broker}"),
            What::NoConnection(why) => write!(f, "cannot connect to {broker}: {why}"),
            What::Unresolved(why) => write!(f, "cannot resolve {broker}: {why}"),
            What::Tls(why) | What::Certificate(why) => write!(f, "TLS handshake failed at {broker}: {why}"),
            What::Authentication(why) => write!(f, "authentication failed at {broker}: {why}"),
            What::Closed(Some(hint)) => write!(f, "connection closed by {broker} ({hint})"),
            What::Closed(None) => write!(f, "connection closed by {broker}"),
            What::Silent => write!(f, "no answer from {broker}"),
            What::Other(why) => write!(f, "{broker}: {why}"),
        }
    }
}

/// A client's context that keeps what each broker did last instead of answering.
#[derive(Debug, Clone, Default)]
pub struct BrokerLog {
    troubles: Arc<Mutex<BTreeMap<String, BrokerTrouble>>>,
    /// Whether a connection stood or was being made when librdkafka last said so. It is known only
    /// to a client that has `statistics.interval.ms`.
    is_connecting: Arc<AtomicBool>,
}

impl BrokerLog {
    fn note(&self, reason: &str) {
        if let Some(trouble) = BrokerTrouble::read(reason) {
            lock(&self.troubles).insert(trouble.broker.clone(), trouble);
        }
    }

    /// Forgets all: a broker has answered.
    pub fn clear(&self) {
        lock(&self.troubles).clear();
    }

    /// Why a call has failed. Where no broker has answered, that is what is known of all of them.
    pub fn explain(&self, error: &KafkaError) -> String {
        let noted = lock(&self.troubles);
        if noted.is_empty() || !is_unreachable(error) {
            return error.to_string();
        }
        let all: Vec<String> = noted.values().map(BrokerTrouble::to_string).collect();
        all.join("; ")
    }

    /// Finds out more of the brokers that hang up, and of those whose certificates we do not
    /// believe, by a handshake with each.
    pub(super) fn examine(
        &self,
        client: &KafkaClientSpec,
        shake_hands: impl Fn(&str, &KafkaClientSpec) -> Handshake,
    ) {
        let protocol = client.property("security.protocol").unwrap_or("plaintext").to_lowercase();
        for trouble in lock(&self.troubles).values_mut() {
            if !matches!(trouble.what, What::Certificate(_) | What::Closed(_)) {
                continue;
            }

            let hands = shake_hands(&trouble.broker, client);
            match (&trouble.what, hands) {
                (What::Certificate(_), Handshake::Fault(why)) => trouble.what = What::Tls(why),
                (What::Closed(_), Handshake::Good | Handshake::Fault(_)) if !protocol.ends_with("ssl") => {
                    trouble.what = What::Closed(Some(WANTS_TLS));
                }
                (What::Closed(_), Handshake::NoTls) if protocol.ends_with("ssl") => {
                    trouble.what = What::Tls(NO_TLS.to_owned());
                }
                (What::Closed(None), _) if !protocol.starts_with("sasl") => {
                    trouble.what = What::Closed(Some(WANTS_SASL));
                }
                _ => {}
            }
        }
    }

    /// Whether each of these brokers (`bootstrap.servers`) has turned us away for good. A host may
    /// have several addresses: while a connection to one of them is being made, that another has
    /// refused us decides nothing.
    pub fn is_turned_away(&self, brokers: &str) -> bool {
        if self.is_connecting.load(Ordering::Relaxed) {
            return false;
        }
        let noted = lock(&self.troubles);
        let mut known = servers(brokers).peekable();
        known.peek().is_some()
            && known.all(|server| noted.get(&address(server)).is_some_and(BrokerTrouble::is_decided))
    }

    /// Why none of these brokers (`bootstrap.servers`) has answered in the time given.
    pub fn no_answer(&self, brokers: &str, waited: Duration) -> String {
        let noted = lock(&self.troubles);
        let silent = |broker: &str| format!("no answer from {broker} within {} s", waited.as_secs());
        let told = |trouble: &BrokerTrouble| match trouble.what {
            What::Silent => silent(&trouble.broker),
            _ => trouble.to_string(),
        };

        let unheard = servers(brokers).filter(|server| !noted.contains_key(&address(server)));
        let all: Vec<String> = noted.values().map(told).chain(unheard.map(silent)).collect();
        all.join("; ")
    }
}

/// Whether a call has failed because no broker was there to answer it.
pub fn is_unreachable(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(Code::BrokerTransportFailure | Code::OperationTimedOut | Code::AllBrokersDown | Code::Resolve)
    )
}

/// The bootstrap servers of a client.
fn servers(brokers: &str) -> impl Iterator<Item = &str> {
    brokers.split(',').map(str::trim).filter(|server| !server.is_empty())
}

/// A bootstrap server as librdkafka names it: without a protocol, with a port.
fn address(server: &str) -> String {
    let server = server.split_once("://").map_or(server, |(_, rest)| rest);
    let has_port = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { server.to_owned() } else { format!("{server}:9092") }
}

impl ClientContext for BrokerLog {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
        self.note(reason);
    }

    fn stats(&self, statistics: Statistics) {
        let is_idle = |state: &str| matches!(state, "INIT" | "DOWN" | "TRY_CONNECT");
        let is_connecting = statistics.brokers.values().any(|broker| !is_idle(&broker.state));
        self.is_connecting.store(is_connecting, Ordering::Relaxed);
    }

    /// That a broker hung up is logged and no error to librdkafka.
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        tracing::debug!(?level, fac, message, "librdkafka");
        if fac == "FAIL" {
            self.note(message);
        }
    }
}

impl ConsumerContext for BrokerLog {}

#[cfg(test)]
mod tests {
    use RDKafkaErrorCode as Code;

    use super::*;

    fn plain(reason: &str) -> String {
        BrokerTrouble::read(reason).map_or_else(|| "nothing".into(), |trouble| trouble.to_string())
    }

    #[test]
    fn the_texts_of_librdkafka_become_plain_words() {
        for (reason, expected) in [
            (
                "localhost:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in \
                 state CONNECT)",
                "connection refused at localhost:9092",
            ),
            (
                "sasl_ssl://[::1]:9092/12: Connect to ipv6#[::1]:9092 failed: No route to host (after 3ms in state \
                 CONNECT, 4 identical error(s) suppressed)",
                "cannot connect to [::1]:9092: No route to host",
            ),
            (
                "kafka.invalid:9092/bootstrap: Failed to resolve 'kafka.invalid:9092': Name or service not known \
                 (after 12ms in state CONNECT)",
                "cannot resolve kafka.invalid:9092: Name or service not known",
            ),
            (
                "ssl://kafka:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify \
                 failed: broker certificate could not be verified, verify that ssl.ca.location is correctly \
                 configured or root CA certificates are installed (install ca-certificates package) (after 5ms in \
                 state SSL_HANDSHAKE)",
                "TLS handshake failed at kafka:9093: certificate verify failed: broker certificate could not be \
                 verified, verify that ssl.ca.location is correctly configured or root CA certificates are \
                 installed (install ca-certificates package)",
            ),
            (
                "ssl://kafka:9093/1: Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate: SSL \
                 alert number 42 (after 0ms in state APIVERSION_QUERY)",
                "TLS handshake failed at kafka:9093: the broker wants a certificate of ours, or does not take the \
                 one it gets (alert bad certificate), see ssl.certificate.location and ssl.key.location",
            ),
            (
                "sasl_ssl://kafka:9094/bootstrap: SASL authentication error: Authentication failed during \
                 authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512 (after 306ms in state \
                 AUTH_REQ)",
                "authentication failed at kafka:9094: Invalid username or password (SCRAM-SHA-512)",
            ),
            (
                "kafka:9092/bootstrap: Send failed: Broken pipe (after 0ms in state APIVERSION_QUERY)",
                "connection closed by kafka:9092",
            ),
            (
                "ssl://kafka:9092/bootstrap: SSL handshake failed: Disconnected: SSL connection closed by peer: \
                 connecting to a PLAINTEXT broker listener? (after 1ms in state SSL_HANDSHAKE)",
                "TLS handshake failed at kafka:9092: the listener may have no TLS, see security.protocol",
            ),
            (
                "sasl_plaintext://kafka:9094/bootstrap: SASL authentication error: Authentication failed: Invalid \
                 username or password (after 306ms in state AUTH_REQ)",
                "authentication failed at kafka:9094: Invalid username or password",
            ),
            (
                "sasl_plaintext://kafka:9094/bootstrap: SASL SCRAM-SHA-256 mechanism handshake failed: Broker: \
                 Unsupported SASL mechanism: broker's supported mechanisms: PLAIN (after 2ms in state AUTH_HANDSHAKE)",
                "authentication failed at kafka:9094: Unsupported SASL mechanism: broker's supported mechanisms: \
                 PLAIN",
            ),
            (
                "sasl_plaintext://kafka:9092/bootstrap: SASL PLAIN mechanism handshake failed: Broker: Request not \
                 valid in current SASL state: broker's supported mechanisms:  (after 0ms in state AUTH_HANDSHAKE)",
                "authentication failed at kafka:9092: Request not valid in current SASL state",
            ),
            (
                "[thrd:kafka:9093/bootstrap]: kafka:9093/bootstrap: Disconnected while requesting ApiVersion: might \
                 be caused by incorrect security.protocol configuration (connecting to a SSL listener?) or broker \
                 version is < 0.10 (see api.version.request) (after 0ms in state APIVERSION_QUERY)",
                "connection closed by kafka:9093 (it may want TLS, see security.protocol)",
            ),
            (
                "kafka:9092/1: Disconnected: connection closed by peer: receive 0 after POLLIN (after 10ms in state \
                 UP): verify that security.protocol is correctly configured, broker might require SASL \
                 authentication (after 10ms in state UP)",
                "connection closed by kafka:9092 (it may want SASL, see security.protocol)",
            ),
            (
                "kafka:9092/1: Connection setup timed out in state CONNECT (after 30029ms in state CONNECT)",
                "no answer from kafka:9092",
            ),
            ("kafka:9092/1: something new (after 1ms in state UP)", "kafka:9092: something new"),
            ("2/2 brokers are down", "nothing"),
        ] {
            assert_eq!(plain(reason), expected, "{reason}");
        }
    }

    #[test]
    fn every_bootstrap_server_is_accounted_for() {
        let (log, brokers) = (BrokerLog::default(), "plaintext://a, b:1");
        let (away, full) = (Code::BrokerTransportFailure, Code::QueueFull);
        let [away, full] = [away, full].map(KafkaError::Global);
        assert!(log.explain(&away).contains("BrokerTransportFailure"));
        assert!(!log.is_turned_away(brokers) && !log.is_turned_away(""));
        let refused = "a:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused (after 0ms in \
                       state CONNECT)";
        log.note(refused);
        let waited = Duration::from_secs(10);
        let expected = "connection refused at a:9092; no answer from b:1 within 10 s";
        assert_eq!(log.no_answer(brokers, waited), expected);
        assert!(!log.is_turned_away(brokers), "b has not answered yet");
        assert_eq!(log.explain(&away), "connection refused at a:9092");
        assert!(log.explain(&full).contains("QueueFull"));

        log.note(
            "b:1/bootstrap: Connection setup timed out in state CONNECT (after 30000ms in state CONNECT)",
        );
        assert_eq!(log.no_answer(brokers, waited), expected);
        assert!(!log.is_turned_away(brokers), "silence is no answer");
        log.note(&refused.replace("a:9092/", "b:1/"));
        assert!(log.is_turned_away(brokers));
        log.is_connecting.store(true, Ordering::Relaxed);
        assert!(!log.is_turned_away(brokers), "another address of b may answer");
        log.clear();
        assert!(log.explain(&away).contains("BrokerTransportFailure") && !log.is_turned_away(brokers));
    }
}
