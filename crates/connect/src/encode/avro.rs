//! Results as Avro records.
//! It must not know where they go.

use std::collections::HashMap;
use std::sync::Mutex;

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use arrow_avro::schema::{FingerprintStrategy, SCHEMA_METADATA_KEY};
use arrow_avro::writer::format::{AvroBinaryFormat, AvroSoeFormat};
use arrow_avro::writer::{Encoder, WriterBuilder};
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::lock::lock;

use super::payloads::{Frame, Payloads};

/// Writes the records of one schema.
pub(super) struct AvroWriter {
    /// It keeps its buffers from batch to batch.
    encoder: Mutex<Encoder>,
}

impl AvroWriter {
    /// Of records of these columns, as the Avro schema says them. Errors: `Sink`, when the two do
    /// not fit together, which only a fault here can cause.
    pub fn new(columns: &Schema, avro: &str, frame: Frame) -> Result<Self> {
        let metadata = HashMap::from([(SCHEMA_METADATA_KEY.to_owned(), avro.to_owned())]);
        let builder = WriterBuilder::new(columns.clone().with_metadata(metadata));

        let encoder = match frame.0 {
            Some(id) => builder
                .with_fingerprint_strategy(FingerprintStrategy::Id(id))
                .build_encoder::<AvroSoeFormat>(),
            None => builder.build_encoder::<AvroBinaryFormat>(),
        };
        let encoder = encoder.or_fail(Kind::Sink, || "the records do not fit their Avro schema")?;
        Ok(AvroWriter { encoder: Mutex::new(encoder) })
    }

    /// The rows, a record each. Errors: `Sink`.
    pub fn payloads(&self, rows: &RecordBatch) -> Result<Payloads> {
        let fail = || "cannot write records as Avro";
        let mut encoder = lock(&self.encoder);
        encoder.encode(rows).or_fail(Kind::Sink, fail)?;

        let encoded = encoder.flush();
        let places = encoded.offsets().windows(2).map(|ends| ends[0]..ends[1]).collect();
        Ok(Payloads { bytes: encoded.bytes().clone(), places })
    }
}
