//! A topic that results go to, and how they are written there.
//! It must not write.

use arrow::datatypes::SchemaRef;
use tickcast_stream::error::Result;
use tickcast_stream::message::Stream;

use super::kafka_records::KafkaRecords;
use crate::encode::{Numbering, PayloadSpec, ResultEncoder};
use crate::kafka::KafkaTopicSpec;

/// A topic of results.
#[derive(Debug, Clone)]
pub struct KafkaSinkSpec {
    /// The topic, and how its cluster is reached.
    pub to: KafkaTopicSpec,
    /// How results are written; of rejects it says nothing.
    pub payload: PayloadSpec,
}

impl KafkaSinkSpec {
    /// What makes the records of a stream in these columns. Errors: those of
    /// [`ResultEncoder::open`].
    pub fn records(&self, stream: Stream, columns: &SchemaRef, numbering: Numbering) -> Result<KafkaRecords> {
        Ok(match stream {
            Stream::Rejects => KafkaRecords::Rejects,
            Stream::Forecasts | Stream::Scores => {
                let topic = &self.to.topic;
                let encoder = ResultEncoder::open(&self.payload, stream, columns, topic, numbering)?;
                KafkaRecords::Results(Box::new(encoder))
            }
        })
    }
}
