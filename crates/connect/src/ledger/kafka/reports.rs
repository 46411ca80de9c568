//! What becomes of the records of the open transaction, as librdkafka reports it.
//! It must not end the transaction.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;

use tickcast_stream::lock::lock;
use tickcast_stream::{Offset, PartitionId};

use super::trouble::is_too_large;

/// What librdkafka reports of the records of the open transaction.
#[derive(Clone, Default)]
pub(super) struct Reports(Arc<Mutex<Reported>>);

/// What is known of them so far.
#[derive(Default)]
pub(super) struct Reported {
    /// The first record that the broker did not take, and why.
    pub failed: Option<String>,
    /// The topic that did not take a record, or a batch of them, for its size.
    pub too_large: Option<String>,
    /// Offsets of first chunks, by partition.
    pub firsts: BTreeMap<PartitionId, Offset>,
}

impl Reports {
    /// Works on what is reported; librdkafka waits meanwhile.
    pub fn with<T>(&self, work: impl FnOnce(&mut Reported) -> T) -> T {
        work(&mut lock(&self.0))
    }
}

/// Marks a record whose offset is wanted: the first chunk of a snapshot.
pub(super) const FIRST_CHUNK: usize = 1;
pub(super) const NO_MARK: usize = 0;

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        // What lasts is told by the commit that waits for it.
        tracing::debug!(%error, reason, "kafka ledger");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, mark: usize) {
        match result {
            Ok(message) if mark == FIRST_CHUNK => {
                self.with(|reported| {
                    _ = reported.firsts.insert(PartitionId(message.partition()), Offset(message.offset()))
                });
            }
            Ok(_) => {}
            Err((error, message)) => self.with(|reported| {
                let (topic, partition) = (message.topic(), message.partition());
                if is_too_large(error) {
                    reported.too_large.get_or_insert_with(|| topic.to_owned());
                }
                reported
                    .failed
                    .get_or_insert_with(|| format!("topic {topic} partition {partition}: {error}"));
            }),
        }
    }
}
