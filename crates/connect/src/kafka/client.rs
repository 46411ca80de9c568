//! The configuration that all Kafka clients share, and how a client is made.
//! It must not ask a broker anything.

use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use tickcast_stream::error::{Error, Kind, Result};

use super::spec::KafkaClientSpec;

/// How long brokers may take to answer a question about a topic or a group.
pub const METADATA_TIMEOUT: Duration = Duration::from_secs(10);

/// A client configuration with the user's properties over our defaults.
pub fn client_config(client: &KafkaClientSpec, defaults: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &client.brokers).set("client.id", "tickcast");
    for (name, value) in defaults {
        config.set(*name, *value);
    }
    for (name, value) in &client.properties {
        config.set(name, value);
    }
    config
}

/// Makes a client. Errors: `Config`, when librdkafka refuses a property; the message names the
/// property and hides its value, because that may be a secret.
pub fn create<C, T: FromClientConfigAndContext<C>>(config: &ClientConfig, context: C) -> Result<T>
where
    C: ClientContext,
{
    config.create_with_context(context).map_err(|error| match error {
        KafkaError::ClientConfig(_, what, name, value) => {
            Error::new(Kind::Config, format!("{} ({name})", hidden(&what, &value)))
        }
        other => Error::new(Kind::Config, "cannot make a Kafka client").because(other),
    })
}

/// librdkafka's words without the value: it quotes those of properties that have a list of values.
fn hidden(what: &str, value: &str) -> String {
    if value.is_empty() { what.to_owned() } else { what.replace(value, "…") }
}

/// Whether librdkafka takes the properties; no broker is asked. Errors: `Config`, without the
/// values.
pub fn check_properties(client: &KafkaClientSpec) -> Result<()> {
    create::<_, BaseConsumer>(&client_config(client, &[("group.id", "tickcast")]), DefaultConsumerContext)
        .map(|_| ())
}
