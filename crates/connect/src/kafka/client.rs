//! How a Kafka client is made.
//! It must not ask a broker anything; it may have to ask for a token.

use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use tickcast_stream::error::{Error, Kind, Result};

use super::config::client_config;
use super::login::{NativeClient, set_token};
use super::oidc::Oidc;
use super::spec::KafkaClientSpec;

/// How long brokers may take to answer a question about a topic or a group.
pub const METADATA_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes a client, with a token where it needs one. Errors: `Config`, when librdkafka refuses a
/// property; the message names the property and hides its value, because that may be a secret.
/// Those of who gives out the token: `Retry::Later`, where it cannot be reached.
pub fn create<C, T>(config: &ClientConfig, context: C) -> Result<T>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C> + NativeClient,
{
    let mut config = config.clone();
    let oidc = Oidc::take(&mut config)?;
    let client = make(&config, context)?;
    if let Some(oidc) = oidc {
        set_token(&client, &*oidc.token()?)?;
    }
    Ok(client)
}

fn make<C: ClientContext, T: FromClientConfigAndContext<C>>(config: &ClientConfig, context: C) -> Result<T> {
    config.create_with_context(context).map_err(|error| match error {
        KafkaError::ClientConfig(_, what, name, value) => {
            Error::new(Kind::Config, format!("{} ({name})", hidden(&what, &value)))
        }
        KafkaError::ClientCreation(why) => {
            Error::new(Kind::Config, "cannot make a Kafka client").because(without_secrets(why, config))
        }
        other => Error::new(Kind::Config, "cannot make a Kafka client").because(other),
    })
}

/// What librdkafka says, without the values of properties whose names say that they are secrets.
fn without_secrets(mut said: String, config: &ClientConfig) -> String {
    let is_secret = |name: &str| {
        ["password", "secret", "passphrase", ".pem", "oauthbearer.config"]
            .iter()
            .any(|word| name.contains(word))
    };
    // The map itself has other words in the place of passwords.
    for name in config.config_map().keys().filter(|name| is_secret(name)) {
        if let Some(value) = config.get(name).filter(|value| !value.is_empty()) {
            said = said.replace(value, "…");
        }
    }
    said
}

/// librdkafka's words without the value: it quotes those of properties that have a list of values.
fn hidden(what: &str, value: &str) -> String {
    if value.is_empty() { what.to_owned() } else { what.replace(value, "…") }
}

/// Whether librdkafka takes the properties; nobody is asked. Errors: `Config`, without the values.
pub fn check_properties(client: &KafkaClientSpec) -> Result<()> {
    let mut config = client_config(client, &[("group.id", "tickcast")]);
    let has_oidc = Oidc::take(&mut config)?.is_some();
    if let Some(fault) = login_fault(&config, has_oidc) {
        return Err(Error::new(Kind::Config, fault));
    }
    make::<_, BaseConsumer>(&config, DefaultConsumerContext).map(|_| ())
}

/// What is missing of a login, where librdkafka would say it in other words or not at all.
fn login_fault(config: &ClientConfig, has_oidc: bool) -> Option<&'static str> {
    let protocol = config.get("security.protocol").unwrap_or_default().to_lowercase();
    if !protocol.starts_with("sasl") {
        return None;
    }

    let is_unsecured = config.get("enable.sasl.oauthbearer.unsecure.jwt") == Some("true");
    match config.get("sasl.mechanism").or(config.get("sasl.mechanisms")) {
        None => Some("SASL needs sasl.mechanism: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"),
        Some("OAUTHBEARER") if has_oidc || is_unsecured => None,
        Some("OAUTHBEARER") => Some("OAUTHBEARER needs sasl.oauthbearer.method: oidc"),
        Some("GSSAPI") => Some("sasl.mechanism: GSSAPI (Kerberos) is not built"),
        Some(_) if config.get("sasl.username").is_none() => Some("SASL needs sasl.username"),
        Some(_) if config.get("sasl.password").is_none() => Some("SASL needs sasl.password"),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(properties: &[(&str, &str)]) -> String {
        let properties =
            properties.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let spec =
            KafkaClientSpec { brokers: "127.0.0.1:1".to_owned(), properties, ..KafkaClientSpec::default() };
        check_properties(&spec).unwrap_err().to_string()
    }

    #[test]
    fn what_a_login_lacks_is_said_before_anybody_is_asked() {
        let sasl = ("security.protocol", "SASL_SSL");
        let oauth = [sasl, ("sasl.mechanism", "OAUTHBEARER")];
        let plain = [sasl, ("sasl.mechanism", "PLAIN"), ("sasl.username", "me")];
        assert!(refused(&[sasl]).contains("SASL needs sasl.mechanism: PLAIN, "));
        assert!(refused(&plain).ends_with("SASL needs sasl.password"));
        assert!(refused(&oauth).ends_with("OAUTHBEARER needs sasl.oauthbearer.method: oidc"));
        let oidc = [&oauth[..], &[("sasl.oauthbearer.method", "oidc")]].concat();
        assert!(refused(&oidc).ends_with("oidc needs sasl.oauthbearer.token.endpoint.url"));
    }

    #[test]
    fn no_refusal_shows_a_secret() {
        let key = "hunter2 is no key";
        let both = [("security.protocol", "SSL"), ("ssl.key.pem", key), ("ssl.key.password", "hunter2")];
        for error in [refused(&both), refused(&[("security.protocol", "hunter2")])] {
            assert!(!error.contains("hunter2"), "{error}");
        }
        let mut config = ClientConfig::new();
        config.set("sasl.password", "hunter2").set("client.id", "id");
        assert_eq!(without_secrets("id: hunter2?".to_owned(), &config), "id: …?");
    }
}
