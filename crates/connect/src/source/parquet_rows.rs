//! The rows of a Parquet file, from any row on, of the columns that are wanted.
//! It must not know what the rows mean.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_schema_by_columns};
use tickcast_stream::Offset;
use tickcast_stream::error::{Error, Kind, OrFail, Result};

use super::parquet_leaves::leaves_of;
use crate::decode::{check_known, root_of};

/// A Parquet file's rows.
pub(super) struct ParquetRows {
    /// Its columns.
    pub fields: Vec<Field>,
    /// How many rows there are.
    pub rows: i64,
    mask: ProjectionMask,
    /// What all rows are to be, where it is one of several files.
    as_schema: Option<SchemaRef>,
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
        let mask = ProjectionMask::all();
        Ok(ParquetRows { fields, rows, mask, as_schema: None, builder: Some(builder), reader: None })
    }

    /// Of these columns alone; of paths only the leaves that they lead to. Errors: `Config`, when
    /// one is not there.
    pub fn select(&mut self, wanted: &[String], name: &str) -> Result<()> {
        let known: Vec<&String> = self.fields.iter().map(Field::name).collect();
        let roots: Vec<&str> = wanted.iter().map(|path| root_of(path, &known)).collect();
        check_known(&roots, &known, name)?;

        if let Some(builder) = self.builder.take() {
            let leaves = leaves_of(builder.schema().fields(), wanted);
            self.mask = ProjectionMask::leaves(builder.parquet_schema(), leaves);
            self.builder = Some(builder.with_projection(self.mask.clone()));
        }
        Ok(())
    }

    /// The columns of its rows, each of which may be null: in another file it may be.
    pub fn schema(&self, name: &str) -> Result<SchemaRef> {
        let Some(builder) = &self.builder else { return Ok(Arc::new(Schema::empty())) };
        let metadata = builder.metadata().file_metadata();
        let schema = parquet_to_arrow_schema_by_columns(
            metadata.schema_descr(),
            self.mask.clone(),
            metadata.key_value_metadata(),
        );

        let schema = schema.or_fail(Kind::Source, || format!("cannot read the columns of {name}"))?;
        let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }

    /// Its rows are to have these columns, and no value is to become another one by that. Errors:
    /// `Source`, naming a column of another type.
    pub fn fit(&mut self, schema: SchemaRef, name: &str) -> Result<()> {
        let own = self.schema(name)?;
        for field in schema.fields() {
            let found = own.field_with_name(field.name()).ok().map(Field::data_type);
            if let Some(found) = found.filter(|found| !is_as_good(found, field.data_type())) {
                let (column, wanted) = (field.name(), field.data_type());
                let what = format!(
                    "column `{column}` of {name} is {found}, and {wanted} in the first file: files that are read together \
                     need the same types"
                );
                return Err(Error::new(Kind::Source, what));
            }
        }
        self.as_schema = Some(schema);
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
    pub fn next_batch(&mut self) -> std::result::Result<Option<RecordBatch>, ArrowError> {
        let Some(rows) = self.reader.as_mut().and_then(Iterator::next).transpose()? else { return Ok(None) };
        match &self.as_schema {
            Some(schema) => fitted(&rows, schema).map(Some),
            None => Ok(Some(rows)),
        }
    }
}

/// Whether every value of a type can be one of another.
fn is_as_good(from: &DataType, to: &DataType) -> bool {
    let is_text = |of: &DataType| matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    match (from, to) {
        (from, to) if from == to => true,
        (DataType::Dictionary(_, values), to) => is_as_good(values, to),
        (from, DataType::Dictionary(_, values)) => is_as_good(from, values),
        (from, to) if is_text(from) && is_text(to) => true,
        (DataType::Timestamp(from, zone), DataType::Timestamp(to, other)) => from <= to && zone == other,
        (DataType::Float32, DataType::Float64) => true,
        (from, DataType::Float64) => from.is_integer(),
        // One that is too large is an error where it is read.
        (from, to) => from.is_integer() && to.is_integer(),
    }
}

fn fitted(rows: &RecordBatch, schema: &SchemaRef) -> std::result::Result<RecordBatch, ArrowError> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let column = |field: &Arc<Field>| -> std::result::Result<ArrayRef, ArrowError> {
        let column = rows
            .column_by_name(field.name())
            .ok_or_else(|| ArrowError::SchemaError(format!("there is no column `{}`", field.name())))?;
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        cast_with_options(column, field.data_type(), &options)
    };

    let columns = schema.fields().iter().map(column).collect::<std::result::Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}
