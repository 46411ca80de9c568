//! Results that are Avro records into rows.
//! It must not know topics.

use arrow::array::ArrayRef;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow_avro::reader::{Decoder, ReaderBuilder};
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};
use tickcast_stream::error::Result;
use tickcast_stream::message::Stream;

use crate::decode::Framed;
use crate::encode::{PayloadFormat, PayloadSpec, ResultSchema};
use crate::registry::Registry;

/// A batch is full at this many rows.
const BATCH_ROWS: usize = 8192;
/// What a bare record's schema is called here: the decoder reads none without a number.
const BARE: u32 = 0;

/// Records that wait to become a batch.
pub struct AvroRows {
    schema: SchemaRef,
    /// What records are read by.
    reader: String,
    /// Who knows what they were written with; none: with the reader's schema.
    registry: Option<Registry>,
    /// The decoder of records with a number.
    decoder: Option<(u32, Decoder)>,
    /// What other decoders have read.
    read: Vec<RecordBatch>,
    rows: usize,
}

impl AvroRows {
    /// None yet. Errors: what is wrong with the registry's spec.
    pub fn new(stream: Stream, schema: SchemaRef, written: &PayloadSpec) -> Result<Self> {
        let reader = ResultSchema::of(stream, &schema)?.text(PayloadFormat::Avro)?;
        let registry =
            written.registry.as_ref().map(|registry| Registry::open(&registry.spec)).transpose()?;
        Ok(AvroRows { schema, reader, registry, decoder: None, read: Vec::new(), rows: 0 })
    }

    /// Whether no record waits.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether it is time to take the batch.
    pub fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS
    }

    /// Takes in a payload. Errors: why it is no record.
    pub fn push(&mut self, payload: &[u8]) -> std::result::Result<(), String> {
        let (number, record) = match (&self.registry, Framed::of(payload)) {
            (Some(_), Framed::Numbered(number, record)) => (number, record),
            (Some(_), _) => return Err("it does not begin with the number of its schema".to_owned()),
            (None, _) => (BARE, payload),
        };

        if self.decoder.as_ref().is_none_or(|(of, _)| *of != number) {
            self.finish_decoder().map_err(words)?;
            self.decoder = Some((number, self.decoder_of(number)?));
        }
        let Some((_, decoder)) = &mut self.decoder else { return Ok(()) };

        let mut framed = vec![0];
        framed.extend_from_slice(&number.to_be_bytes());
        framed.extend_from_slice(record);
        let taken = decoder.decode(&framed).map_err(|why| words(why.into()))?;
        if taken != framed.len() {
            return Err("bytes are left behind the record".to_owned());
        }
        self.rows += 1;
        Ok(())
    }

    /// The records as one batch; then there are none. Errors: why they are no rows.
    pub fn take(&mut self) -> std::result::Result<RecordBatch, String> {
        self.finish_decoder().map_err(words)?;
        self.rows = 0;
        concat_batches(&self.schema, &std::mem::take(&mut self.read)).map_err(words)
    }

    fn decoder_of(&self, number: u32) -> std::result::Result<Decoder, String> {
        let writer = match &self.registry {
            Some(registry) => registry.schema(number).map_err(|why| why.to_string())?.text.clone(),
            None => self.reader.clone(),
        };
        let mut writers = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
        let known = Fingerprint::Id(number);
        writers.set(known, AvroSchema::new(writer)).map_err(words)?;

        ReaderBuilder::new()
            .with_reader_schema(AvroSchema::new(self.reader.clone()))
            .with_writer_schema_store(writers)
            .with_active_fingerprint(known)
            // One more than are taken: a decoder that is full takes no more.
            .with_batch_size(BATCH_ROWS + 1)
            .build_decoder()
            .map_err(words)
    }

    /// What the present decoder has read.
    fn finish_decoder(&mut self) -> std::result::Result<(), ArrowError> {
        let read = self.decoder.as_mut().map(|(_, decoder)| decoder.flush()).transpose()?.flatten();
        if let Some(read) = read.filter(|read| read.num_rows() > 0) {
            let columns = self.schema.fields().iter().zip(read.columns());
            let columns = columns.map(|(field, column)| cast(column, field.data_type()));
            let columns = columns.collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
            self.read.push(RecordBatch::try_new(self.schema.clone(), columns)?);
        }
        Ok(())
    }
}

fn words(error: ArrowError) -> String {
    error.to_string()
}
