//! Whether a broker speaks TLS, and what is wrong with its certificate. librdkafka says no more
//! than that it does not believe it, or that the broker hung up, so a handshake is made once more.
//! It must not speak Kafka's protocol.

use std::path::Path;
use std::time::Duration;

use curl::easy::{Easy2, Handler};

use super::spec::KafkaClientSpec;
use crate::tls::{certificate_fault, has_no_tls, trust_system};

/// How long the handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(3);
const CA_FILE: &str = "ssl.ca.location";

/// How a handshake has gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Handshake {
    /// The broker speaks TLS, and nothing is wrong with its certificate.
    Good,
    /// What is wrong with its certificate.
    Fault(String),
    /// It does not speak TLS.
    NoTls,
    /// Nothing came of it.
    NoAnswer,
}

/// Makes a handshake with a broker (`host:port`).
pub(super) fn shake_hands(broker: &str, client: &KafkaClientSpec) -> Handshake {
    let mut easy = Easy2::new(Nothing);
    if prepare(&mut easy, broker, client).is_err() {
        return Handshake::NoAnswer;
    }
    match easy.perform() {
        Ok(()) => Handshake::Good,
        Err(error) if has_no_tls(&error) => Handshake::NoTls,
        Err(error) => certificate_fault(&error, CA_FILE).map_or(Handshake::NoAnswer, Handshake::Fault),
    }
}

fn prepare(easy: &mut Easy2<Nothing>, broker: &str, client: &KafkaClientSpec) -> Result<(), curl::Error> {
    easy.url(&format!("https://{broker}/"))?;
    easy.connect_only(true)?;
    // A proxy is for HTTP.
    easy.noproxy("*")?;
    easy.timeout(HANDSHAKE_WITHIN)?;

    if client.property("ssl.endpoint.identification.algorithm") == Some("none") {
        easy.ssl_verify_host(false)?;
    }

    match (client.property(CA_FILE), client.property("ssl.ca.pem")) {
        (_, Some(pem)) => easy.ssl_cainfo_blob(pem.as_bytes()),
        (None | Some("probe"), None) => trust_system(easy),
        (Some(path), None) if Path::new(path).is_dir() => easy.capath(path),
        (Some(path), None) => easy.cainfo(path),
    }
}

/// Nothing is sent, and nothing comes.
struct Nothing;

impl Handler for Nothing {}
