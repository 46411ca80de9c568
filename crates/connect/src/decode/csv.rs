//! CSV payloads, one record each, as columns of text.
//! It must not know what the texts mean.
//!
//! An empty field is null. A name that the header has twice is its last column, as in JSON.

use std::result;
use std::sync::Arc;

use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use tickcast_stream::error::Result;

use super::columns::check_known;
use super::csv_style::CsvStyle;
use super::quotes::Quotes;

#[derive(Debug)]
pub(super) struct CsvText {
    style: CsvStyle,
    /// The fields to read.
    wanted: SchemaRef,
    /// All fields of a record.
    header: SchemaRef,
    /// Where in the header the wanted fields stand.
    positions: Vec<usize>,
}

impl CsvText {
    /// `wanted`: the fields to read, each text. Errors: `Config`, when the header has not all of
    /// them.
    pub(super) fn new(wanted: SchemaRef, header: &[String], style: CsvStyle) -> Result<Self> {
        let names: Vec<&String> = wanted.fields().iter().map(|field| field.name()).collect();
        check_known(&names, header, "the CSV header")?;
        let last = |name| header.iter().rposition(|column| column == name);
        let positions = names.into_iter().filter_map(last).collect();
        let fields: Vec<Field> = header.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
        Ok(CsvText { style, wanted, header: Arc::new(Schema::new(fields)), positions })
    }

    /// All payloads, a row each, or why one of them is no record.
    pub(super) fn read(&self, payloads: &[&str]) -> result::Result<RecordBatch, String> {
        let quotes = Quotes::of(self.style);
        if let Some(fault) = payloads.iter().find_map(|payload| quotes.fault(payload)) {
            return Err(fault.to_owned());
        }
        self.read_lines(payloads).map_err(|error| {
            let words = error.to_string();
            words
                .trim_start_matches("Csv error: ")
                .replace("incorrect number of fields for line 1", "wrong number of fields")
        })
    }

    fn read_lines(&self, payloads: &[&str]) -> result::Result<RecordBatch, ArrowError> {
        // Room for one row more than there are records shows a record that has two.
        let capacity = payloads.len() + 1;
        let mut builder = ReaderBuilder::new(Arc::clone(&self.header))
            .with_batch_size(capacity)
            .with_delimiter(self.style.delimiter)
            .with_projection(self.positions.clone());
        // Of no quote a byte that is in no text.
        builder = builder.with_quote(self.style.quote.unwrap_or(0xff));
        let mut decoder = builder.build_decoder();

        let mut line = Vec::new();
        for (row, payload) in payloads.iter().enumerate() {
            line.clear();
            line.extend_from_slice(payload.trim_end_matches(['\r', '\n']).as_bytes());
            line.push(b'\n');
            let taken = decoder.decode(&line)?;
            if taken != line.len() || capacity - decoder.capacity() != row + 1 {
                let what = "not one CSV record: empty, or several rows";
                return Err(ArrowError::CsvError(what.into()));
            }
        }

        let rows = decoder.flush()?.ok_or_else(|| ArrowError::CsvError("no CSV record".into()))?;
        RecordBatch::try_new(Arc::clone(&self.wanted), rows.columns().to_vec())
    }
}
