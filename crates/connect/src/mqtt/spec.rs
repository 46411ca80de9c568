//! Which broker, which topics, and who asks.
//! It must not reach anything.

use std::path::PathBuf;

use crate::secret::Secret;

/// A subscription at a broker.
#[derive(Debug, Clone)]
pub struct MqttSpec {
    /// The broker's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it is reached by TLS.
    pub has_tls: bool,
    /// The authorities that may have signed its certificate (PEM); none: those of the system.
    pub ca_file: Option<PathBuf>,
    /// The topics, with MQTT's wildcards.
    pub topics: Vec<String>,
    /// The name under which the broker keeps what comes while nobody is there.
    pub client_id: String,
    /// Whom the broker knows the pipeline as.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// What is spoken.
    pub version: MqttVersion,
}

/// A version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttVersion {
    /// 3.1.1
    V311,
    /// 5
    V5,
}

impl MqttSpec {
    /// The broker, for a person.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}
