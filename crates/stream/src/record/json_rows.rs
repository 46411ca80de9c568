//! JSON values into rows of a known schema, many at once; a value that does not fit is found and
//! named.
//! It must not know where the values come from.

use std::ops::Range;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::record_batch::RecordBatch;

/// A batch is full at this many rows or bytes, whichever comes first.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 8 << 20;

/// Values that wait to become a batch.
#[derive(Debug)]
pub struct JsonRows {
    schema: SchemaRef,
    bytes: Vec<u8>,
    /// Where each value ends in `bytes`, and its position at its source.
    values: Vec<(usize, i64)>,
}

/// The first value that is not a row of the schema.
#[derive(Debug, PartialEq)]
pub struct Undecodable {
    /// Its position at its source.
    pub position: i64,
    /// One line for a person.
    pub why: String,
}

impl JsonRows {
    /// Of no values yet.
    pub fn new(schema: SchemaRef) -> Self {
        JsonRows { schema, bytes: Vec::new(), values: Vec::new() }
    }

    /// Takes in one value with its position: an offset or a line number.
    pub fn push(&mut self, position: i64, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.values.push((self.bytes.len(), position));
    }

    /// Whether no value waits.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether it is time to take the batch.
    pub fn is_full(&self) -> bool {
        self.values.len() >= BATCH_ROWS || self.bytes.len() >= BATCH_BYTES
    }

    /// The values as one batch, a row a value; then there are none.
    pub fn take(&mut self) -> Result<RecordBatch, Undecodable> {
        let all = 0..self.values.len();
        // The decoder checks types for a whole batch: only value by value does it tell which one is
        // wrong.
        let batch = self.decode(all.clone()).map_err(|found| {
            let mut alone = all.map(|index| self.decode(index..index + 1));
            alone.find_map(Result::err).unwrap_or(found)
        });
        self.bytes.clear();
        self.values.clear();
        batch
    }

    fn decode(&self, values: Range<usize>) -> Result<RecordBatch, Undecodable> {
        let undecodable = |index: usize, why: String| {
            let position = self.values.get(index).map_or(0, |(_, position)| *position);
            Undecodable { position, why }
        };
        let at_first = |cause: ArrowError| undecodable(values.start, cause.to_string());
        let builder = ReaderBuilder::new(self.schema.clone()).with_batch_size(values.len().max(1));
        let mut decoder = builder.build_decoder().map_err(at_first)?;

        for index in values.clone() {
            let from = index.checked_sub(1).map_or(0, |before| self.values[before].0);
            let value = &self.bytes[from..self.values[index].0];
            let read = decoder.decode(value).map_err(|cause| undecodable(index, cause.to_string()))?;
            let rows = index - values.start + 1;
            if read != value.len() || decoder.has_partial_record() || decoder.len() != rows {
                return Err(undecodable(index, "it is not one JSON object".into()));
            }
        }

        let batch = decoder.flush().map_err(at_first)?;
        Ok(batch.unwrap_or_else(|| RecordBatch::new_empty(self.schema.clone())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    fn decode(values: &[&str]) -> Result<Vec<i64>, Undecodable> {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
        let mut rows = JsonRows::new(Arc::new(schema));
        (100..).zip(values).for_each(|(position, value)| rows.push(position, value.as_bytes()));
        let batch = rows.take()?;
        assert!(rows.is_empty());
        Ok(batch.column(0).as_primitive::<Int64Type>().values().to_vec())
    }

    #[test]
    fn a_value_is_a_row() {
        assert!(decode(&[]).unwrap().is_empty());
        assert_eq!(decode(&[r#"{"n":1}"#, " {\"n\": 2, \"other\": []}\n"]).unwrap(), [1, 2]);
    }

    #[test]
    fn the_value_that_does_not_fit_is_named() {
        let good = r#"{"n":1}"#;
        for bad in [
            "",
            " ",
            "{",
            "1",
            "null",
            "[]",
            "]",
            "\u{1}",
            r#"{"n":"x"}"#,
            "{}",
            r#"{"n":null}"#,
            r#"{"n":1}{"n":2}"#,
            r#"{"n":1} x"#,
        ] {
            let found = decode(&[good, good, bad, good]).unwrap_err();
            assert_eq!(found.position, 102, "{bad:?}: {found:?}");
            assert_eq!(decode(&[good, bad]).unwrap_err().position, 101, "{bad:?} at the end");
        }
    }
}
