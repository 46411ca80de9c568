//! The rows of a Parquet file, from any row on, of the columns that are wanted.
//! It must not know what the rows mean.

use std::fs::File;
use std::path::Path;

use arrow::datatypes::Field;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use tickcast_stream::Offset;
use tickcast_stream::error::{Error, Kind, OrFail, Result};

use crate::decode::{check_known, root_of};

/// A Parquet file's rows.
pub(super) struct ParquetRows {
    /// Its columns.
    pub fields: Vec<Field>,
    /// How many rows there are.
    pub rows: i64,
    /// Taken by the start.
    builder: Option<ParquetRecordBatchReaderBuilder<File>>,
    reader: Option<ParquetRecordBatchReader>,
}

impl ParquetRows {
    /// Opens the file. Errors: `Config` for standard input, `Source` when it is not readable
    /// Parquet.
    pub fn open(path: &Path, name: &str) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Err(Error::new(Kind::Config, "Parquet cannot be read from standard input"));
        }

        let file = File::open(path).or_fail(Kind::Source, || format!("cannot open {name}"))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .or_fail(Kind::Source, || format!("{name} is not a readable Parquet file"))?;

        let fields: Vec<Field> = builder.schema().fields().iter().map(|field| (**field).clone()).collect();
        if fields.is_empty() {
            return Err(Error::new(Kind::Source, format!("{name} has no columns")));
        }
        let rows = builder.metadata().file_metadata().num_rows();
        Ok(ParquetRows { fields, rows, builder: Some(builder), reader: None })
    }

    /// Of these columns alone, or of those that paths begin with. Errors: `Config`, when one is not
    /// there.
    pub fn select(&mut self, wanted: &[String], name: &str) -> Result<()> {
        let known: Vec<&String> = self.fields.iter().map(Field::name).collect();
        let roots: Vec<&str> = wanted.iter().map(|path| root_of(path, &known)).collect();
        check_known(&roots, &known, name)?;
        let positions = (0..known.len()).filter(|position| roots.contains(&known[*position].as_str()));
        self.builder = self.builder.take().map(|builder| {
            let mask = ProjectionMask::roots(builder.parquet_schema(), positions);
            builder.with_projection(mask)
        });
        Ok(())
    }

    /// Begins to read at a row.
    pub fn start(&mut self, position: Offset, batch_records: usize) -> parquet::errors::Result<()> {
        if let Some(builder) = self.builder.take() {
            let skipped = usize::try_from(position.0).unwrap_or(usize::MAX);
            self.reader = Some(builder.with_offset(skipped).with_batch_size(batch_records).build()?);
        }
        Ok(())
    }

    /// The next rows; none at the end.
    pub fn next_batch(&mut self) -> std::result::Result<Option<RecordBatch>, arrow::error::ArrowError> {
        self.reader.as_mut().and_then(Iterator::next).transpose()
    }
}
