//! The configuration that all Kafka clients share.
//! It must not make a client.

use rdkafka::config::ClientConfig;

use super::spec::KafkaClientSpec;

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

    read_secrets(&mut config, client);
    config
}

/// Sets the properties that are in files to what the files say now. While one is being changed it
/// may not be there: then what it said before counts.
pub(super) fn read_secrets(config: &mut ClientConfig, client: &KafkaClientSpec) {
    let changed = client.secret_files.iter().filter_map(|(name, file)| Some((name, file.read().ok()?)));
    changed.for_each(|(name, value)| _ = config.set(name, value));
}
