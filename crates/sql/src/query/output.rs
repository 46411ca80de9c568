//! An answer as text: a table for people, NDJSON or CSV for programs.
//! It must not know the query; the columns' names and order stay as they are.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatchOptions, StringBuilder};
use arrow::csv;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, LineDelimited, WriterBuilder, make_encoder};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_options;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::record::printable;

use crate::fault::failure;

/// How an answer is written. Times are RFC 3339, those in UTC with Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// A frame of lines around all rows; an absent value is `NULL`. It holds the whole answer to
    /// know the widths.
    Table,
    /// One JSON object a row and line, absent values as `null`, bytes in hex.
    Json,
    /// A line of names, then one a row; absent values are empty, maps and lists are JSON.
    Csv,
    /// The same for a terminal: what would steer it is escaped.
    CsvForTerminal,
}

/// Writes the answer as it comes. A reader that closes its end early (`| head`) is satisfied, not a
/// failure.
pub async fn write(
    mut answer: SendableRecordBatchStream,
    format: OutputFormat,
    out: &mut dyn Write,
) -> Result<()> {
    // A first batch without rows: the names are said even when there is nothing else.
    let mut batches = vec![RecordBatch::new_empty(answer.schema())];
    let is_csv = matches!(format, OutputFormat::Csv | OutputFormat::CsvForTerminal);
    if is_csv && !put(out, &fit(csv(&batches[0], Header::Names)?, format))? {
        return Ok(());
    }

    while let Some(batch) = answer.next().await {
        let batch = batch.map_err(failure)?;
        let text = match format {
            OutputFormat::Table => {
                batches.push(batch);
                continue;
            }
            OutputFormat::Json => json(&batch)?,
            OutputFormat::Csv | OutputFormat::CsvForTerminal => csv(&batch, Header::Absent)?,
        };
        if !put(out, &fit(text, format))? {
            return Ok(());
        }
    }

    if format == OutputFormat::Table {
        put(out, &table(&batches)?)?;
    }
    Ok(())
}

/// CSV for a terminal without what would steer it. A line's end stays, also one in a cell.
fn fit(text: Vec<u8>, format: OutputFormat) -> Vec<u8> {
    if format != OutputFormat::CsvForTerminal {
        return text;
    }
    printable(&String::from_utf8_lossy(&text), &['\n']).into_owned().into_bytes()
}

/// False when nobody reads any more.
fn put(out: &mut dyn Write, text: &[u8]) -> Result<bool> {
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(cause) if cause.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(cause) => Err(Error::new(Kind::Io, "cannot write the answer").because(cause)),
    }
}

fn unwritable() -> &'static str {
    "this answer cannot be written in this format"
}

fn table(batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let options = FormatOptions::default().with_null("NULL");
    let shown: std::result::Result<Vec<_>, _> = batches.iter().map(|batch| shown(batch, &options)).collect();
    let table = pretty_format_batches_with_options(&shown.or_fail(Kind::Query, unwritable)?, &options);
    Ok(format!("{}\n", table.or_fail(Kind::Query, unwritable)?).into_bytes())
}

/// The cells as text that steers no terminal, names too: they may be anybody's.
fn shown(batch: &RecordBatch, options: &FormatOptions<'_>) -> std::result::Result<RecordBatch, ArrowError> {
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let cells = ArrayFormatter::try_new(column, options)?;
        let mut texts = StringBuilder::new();
        for row in 0..column.len() {
            texts.append_value(printable(&cells.value(row).try_to_string()?, &[]));
        }
        columns.push(Arc::new(texts.finish()));
        fields.push(Arc::new(Field::new(printable(field.name(), &[]), DataType::Utf8, true)));
    }
    with_rows_of(batch, fields, columns)
}

fn with_rows_of(
    batch: &RecordBatch,
    fields: Vec<FieldRef>,
    columns: Vec<ArrayRef>,
) -> std::result::Result<RecordBatch, ArrowError> {
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)
}

fn json(batch: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(batch).or_fail(Kind::Query, unwritable)?;
    Ok(writer.into_inner())
}

/// Whether a line of names comes first.
#[derive(Clone, Copy, PartialEq)]
enum Header {
    Names,
    Absent,
}

fn csv(batch: &RecordBatch, header: Header) -> Result<Vec<u8>> {
    let flat = flat(batch).or_fail(Kind::Query, unwritable)?;
    let mut text = Vec::new();
    let mut writer = csv::WriterBuilder::new().with_header(header == Header::Names).build(&mut text);
    writer.write(&flat).or_fail(Kind::Query, unwritable)?;
    drop(writer);
    Ok(text)
}

/// Maps, lists and structs as JSON text: CSV has no nesting.
fn flat(batch: &RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if !field.data_type().is_nested() {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
            continue;
        }

        let options = EncoderOptions::default();
        let mut encoder = make_encoder(field, column, &options)?;
        let mut cells = StringBuilder::new();
        let mut cell = Vec::new();
        for row in 0..column.len() {
            cell.clear();
            if column.is_valid(row) {
                encoder.encode(row, &mut cell);
            }
            cells.append_option(column.is_valid(row).then(|| String::from_utf8_lossy(&cell)));
        }

        columns.push(Arc::new(cells.finish()));
        fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
    }

    with_rows_of(batch, fields, columns)
}
