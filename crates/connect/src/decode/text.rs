//! CSV payloads as the values of the wanted fields: the whole batch is read at once, or by halves
//! around broken records.
//! It must not know what the values mean.

use std::result;
use std::sync::Arc;

use arrow::array::{Array, AsArray, StringArray, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tickcast_stream::PassReason;
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::message::RawRecord;

use super::cell::Cell;
use super::csv::CsvText;
use super::csv_style::CsvStyle;
use super::payloads::{PayloadRow, ReadFields, payload_of, text_of};

/// Reads the named fields of every payload as text.
#[derive(Debug)]
pub(super) struct TextReader {
    /// None where nobody has named the columns: an empty file, or one that nobody has looked into
    /// yet.
    csv: Option<CsvText>,
    schema: SchemaRef,
    style: CsvStyle,
}

/// The texts of one batch.
pub(super) struct TextBatch {
    columns: Vec<StringArray>,
    /// Why a payload is no record.
    faults: Vec<Option<String>>,
    /// How many payloads were asked for.
    read: usize,
    is_at_row: bool,
}

impl TextReader {
    /// A reader of the columns `names`. Errors: `Config`, when the header has not all of them.
    pub(super) fn new(names: &[String], header: Option<Vec<String>>, style: CsvStyle) -> Result<Self> {
        let fields: Vec<Field> = names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let csv = header.map(|header| CsvText::new(Arc::clone(&schema), &header, style)).transpose()?;
        Ok(TextReader { csv, schema, style })
    }

    /// The texts of all records that have a payload of a fitting size; they are to be read in their
    /// order.
    pub(super) fn batch(&self, records: &[RawRecord]) -> Result<TextBatch> {
        let (mut pieces, mut faults) = (Vec::new(), Vec::new());
        for of_one_file in records.chunk_by(|one, next| columns_of(one) == columns_of(next)) {
            let other = columns_of(&of_one_file[0]).map(|header| self.with_header(header)).transpose()?;
            other.as_ref().unwrap_or(self).read_all(of_one_file, &mut pieces, &mut faults)?;
        }
        let texts = concat_batches(&self.schema, &pieces)
            .or_fail(Kind::Source, || "cannot join the texts of a batch")?;
        let columns = texts.columns().iter().map(|column| column.as_string::<i32>().clone()).collect();
        Ok(TextBatch { columns, faults, read: 0, is_at_row: false })
    }

    /// The same columns of a file that has others, or the same in another order.
    fn with_header(&self, header: &[String]) -> Result<Self> {
        let csv = CsvText::new(Arc::clone(&self.schema), header, self.style)?;
        Ok(TextReader { csv: Some(csv), schema: Arc::clone(&self.schema), style: self.style })
    }

    fn read_all(
        &self,
        records: &[RawRecord],
        pieces: &mut Vec<RecordBatch>,
        faults: &mut Vec<Option<String>>,
    ) -> Result<()> {
        let payloads: Vec<result::Result<&str, String>> =
            records.iter().filter_map(|record| payload_of(record).ok()).map(text_of).collect();
        let first_row = faults.len();
        faults.extend(payloads.iter().map(|payload| payload.as_ref().err().cloned()));

        let payloads: Vec<Option<&str>> = payloads.into_iter().map(result::Result::ok).collect();
        self.read_by_halves(&payloads, first_row, pieces, faults)
    }

    /// Payloads are read together exactly when each can be read alone, so halving finds the broken
    /// ones.
    fn read_by_halves(
        &self,
        payloads: &[Option<&str>],
        first_row: usize,
        pieces: &mut Vec<RecordBatch>,
        faults: &mut [Option<String>],
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
                faults[first_row] = Some(fault);
            }
            pieces.push(self.null_row()?);
            return Ok(());
        }

        let (left, right) = payloads.split_at(payloads.len() / 2);
        self.read_by_halves(left, first_row, pieces, faults)?;
        self.read_by_halves(right, first_row + left.len(), pieces, faults)
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

/// The columns of the file that a record is from, where it says them.
fn columns_of(record: &RawRecord) -> Option<&[String]> {
    record.file.as_ref()?.columns.as_deref()
}

impl<'a> ReadFields<'a> for TextBatch {
    fn read(&mut self, _: &'a [u8]) -> result::Result<Option<PassReason>, String> {
        self.read += 1;
        self.is_at_row = false;
        match self.faults.get_mut(self.read - 1).and_then(Option::take) {
            Some(fault) => {
                self.is_at_row = true;
                Err(fault)
            }
            None => Ok(None),
        }
    }

    fn next_row(&mut self) -> Option<PayloadRow> {
        (!std::mem::replace(&mut self.is_at_row, true)).then(PayloadRow::whole)
    }

    fn cell(&self, field: usize) -> Cell<'_> {
        let (texts, row) = (&self.columns[field], self.read - 1);
        Cell::of_text(texts.is_valid(row).then(|| texts.value(row)))
    }
}
