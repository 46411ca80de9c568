//! Reading CSV payloads into columns of text, a row a payload: the whole batch at once, or by
//! halves around broken records.
//! It must not know what the texts mean.

use std::result;
use std::sync::Arc;

use arrow::array::new_null_array;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::message::Reason;

use super::csv::CsvText;
use super::verdict::Verdicts;

/// Reads the named fields of every payload as text.
#[derive(Debug)]
pub(super) struct TextReader {
    /// None where nobody has named the columns: an empty file, or one that nobody has looked into
    /// yet.
    csv: Option<CsvText>,
    schema: SchemaRef,
}

impl TextReader {
    /// A reader of the columns `names`. Errors: `Config`, when the header has not all of them.
    pub(super) fn new(names: &[String], header: Option<Vec<String>>) -> Result<Self> {
        let fields: Vec<Field> = names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let csv = header.map(|header| CsvText::new(Arc::clone(&schema), &header)).transpose()?;
        Ok(TextReader { csv, schema })
    }

    /// One row of text a payload, in order; a row is null where there is no payload or it is
    /// rejected as undecodable.
    pub(super) fn read(&self, payloads: &[Option<&str>], verdicts: &mut Verdicts) -> Result<RecordBatch> {
        let mut pieces = Vec::new();
        self.read_by_halves(payloads, 0, &mut pieces, verdicts)?;
        match pieces.len() {
            1 => Ok(pieces.swap_remove(0)),
            _ => concat_batches(&self.schema, &pieces)
                .or_fail(Kind::Source, || "cannot join the texts of a batch"),
        }
    }

    /// Payloads are read together exactly when each can be read alone, so halving finds the broken
    /// ones.
    fn read_by_halves(
        &self,
        payloads: &[Option<&str>],
        first_row: usize,
        pieces: &mut Vec<RecordBatch>,
        verdicts: &mut Verdicts,
    ) -> Result<()> {
        let all: Option<Vec<&str>> = payloads.iter().copied().collect();
        let fault = match all.map(|all| self.read_together(&all)) {
            Some(Ok(texts)) => {
                pieces.push(texts);
                return Ok(());
            }
            Some(Err(fault)) => Some(fault),
            None => None,
        };

        if payloads.len() == 1 {
            if let Some(fault) = fault {
                verdicts.reject(first_row, Reason::Undecodable, || fault);
            }
            pieces.push(self.null_row()?);
            return Ok(());
        }

        let (left, right) = payloads.split_at(payloads.len() / 2);
        self.read_by_halves(left, first_row, pieces, verdicts)?;
        self.read_by_halves(right, first_row + left.len(), pieces, verdicts)
    }

    /// All or nothing; the fault is a line for a person, exact only for a single payload.
    fn read_together(&self, payloads: &[&str]) -> result::Result<RecordBatch, String> {
        if payloads.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        match &self.csv {
            Some(csv) => csv.read(payloads),
            None => Err("the CSV has no header row or schema that names its columns".into()),
        }
    }

    fn null_row(&self) -> Result<RecordBatch> {
        let columns = self.schema.fields().iter().map(|_| new_null_array(&DataType::Utf8, 1)).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .or_fail(Kind::Source, || "cannot make a row of nulls")
    }
}
