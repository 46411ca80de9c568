//! What every Kafka client of tickcast needs: its configuration, and what a cluster says of a topic.
//! It must not read or write records.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::config::plan::KafkaClientPlan;
use crate::error::{Error, Kind, Result};

/// How long a broker may take to tell of a topic.
pub const METADATA_TIMEOUT: Duration = Duration::from_secs(10);
const ADMIN_TIMEOUT: Duration = Duration::from_secs(15);

/// A client configuration with the user's properties over our defaults.
pub fn client_config(client: &KafkaClientPlan, defaults: &[(&str, &str)]) -> ClientConfig {
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

/// A client, or what is wrong with its properties. librdkafka's own message would show the value, which may be a secret.
pub fn create<C, T: FromClientConfigAndContext<C>>(config: &ClientConfig, context: C) -> Result<T>
where
    C: ClientContext,
{
    config.create_with_context(context).map_err(|error| match error {
        KafkaError::ClientConfig(_, what, name, _) => Error::new(Kind::Config, format!("{what} ({name})")),
        other => Error::new(Kind::Config, "cannot make a Kafka client").because(other),
    })
}

/// Whether librdkafka takes the properties; no broker is asked. Errors: `Config`, without the values.
pub fn check_properties(client: &KafkaClientPlan) -> Result<()> {
    create::<_, BaseConsumer>(&client_config(client, &[("group.id", "tickcast")]), DefaultConsumerContext)
        .map(|_| ())
}

/// Makes a topic with this many partitions unless it exists. Errors: `Sink`; `Retry::Later` while no broker answers.
pub fn ensure_topic(client: &KafkaClientPlan, topic: &str, partitions: i32) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = create(&client_config(client, &[]), DefaultClientContext)?;
    // -1: the broker's own default replication.
    let wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    let options = AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT));
    let made = futures::executor::block_on(admin.create_topics([&wanted], &options));
    let fail =
        |cause: String| Error::transient(Kind::Sink, format!("cannot make topic {topic}")).because(cause);
    match made.map_err(|cause| fail(cause.to_string()))?.pop() {
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | Some(Ok(_)) => Ok(()),
        Some(Err((_, code))) => Err(fail(code.to_string())),
        None => Err(fail("no answer".into())),
    }
}

/// What is wrong with a sink's topic: records keep their partition's number.
pub fn mismatch(topic: &str, found: i32, wanted: i32) -> String {
    format!("topic {topic} has {found} partitions, the source has {wanted}: they must be as many")
}

/// Partitions of a topic, none if there is no such topic. Errors: `Source`; `Retry::Later` while no broker answers.
pub fn partition_count(client: &KafkaClientPlan, topic: &str) -> Result<Option<i32>> {
    let consumer: BaseConsumer = create(&client_config(client, &[]), DefaultConsumerContext)?;
    let away = |cause: String| {
        Error::transient(Kind::Source, format!("cannot reach Kafka at {}", client.brokers)).because(cause)
    };
    let metadata =
        consumer.fetch_metadata(Some(topic), METADATA_TIMEOUT).map_err(|cause| away(cause.to_string()))?;
    match metadata.topics().first() {
        Some(found) if found.error().is_none() && !found.partitions().is_empty() => {
            Ok(Some(found.partitions().len() as i32))
        }
        _ => Ok(None),
    }
}
