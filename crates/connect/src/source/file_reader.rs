//! One file, open: its records from one on.
//! It must not know of others, nor decode a record.

use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use arrow::datatypes::{Field, SchemaRef};
use tickcast_stream::Offset;
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::{RawRecord, Records};

use super::avro_records::AvroRecords;
use super::compressed::{READ_BYTES, open_bytes};
use super::csv_file::{Bytes, CsvFile};
use super::file_batch::{BATCH_BYTES, Batch, Next, unreadable};
use super::file_list::ListedFile;
use super::file_spec::{FileFormat, STDIN};
use super::frames::{Frames, Framing};
use super::kind::SourceSchema;
use super::parquet_rows::ParquetRows;
use super::stdin::{Ready, Stdin};
use crate::decode::{CsvSpec, CsvStyle, check_known};

/// A file's records.
pub(super) struct FileReader {
    /// The path, as messages show it.
    name: String,
    input: Input,
}

enum Input {
    Text {
        frames: Frames<BufReader<Bytes>>,
        /// CSV's column names and style; none for an empty file and for NDJSON.
        csv: Option<(Vec<String>, CsvStyle)>,
        /// Of standard input: more may come later, so a record at hand is not held back until a
        /// batch is full.
        live: Option<Ready>,
    },
    Parquet(Box<ParquetRows>),
    Avro(Box<AvroRecords>),
}

impl FileReader {
    /// Opens the file and reads a CSV's header. `whole_only`: a last line counts only with its
    /// newline. Errors: `Source`, when it is not there or not what it should be.
    pub(super) fn open(file: &ListedFile, csv: &CsvSpec, whole_only: bool) -> Result<Self> {
        let (path, name) = (&file.path, file.path.display().to_string());
        let input = match file.format {
            FileFormat::Avro => Input::Avro(Box::new(AvroRecords::open(path, &name, whole_only)?)),
            FileFormat::Parquet => Input::Parquet(Box::new(ParquetRows::open(path, &name)?)),
            FileFormat::Ndjson => Input::open_lines(path, &name, whole_only)?,
            FileFormat::Csv => Input::open_csv(path, (&name, csv), whole_only)?,
            FileFormat::ByName => {
                let what = format!("the name of {name} does not tell its format: add source.format");
                return Err(Error::new(Kind::Source, what));
            }
        };
        Ok(FileReader { name, input })
    }

    /// A CSV's column names, without blanks around them; none for other formats and for an empty
    /// file.
    pub(super) fn header(&self) -> Option<&Vec<String>> {
        match &self.input {
            Input::Text { csv, .. } => csv.as_ref().map(|(header, _)| header),
            Input::Parquet(_) | Input::Avro(_) => None,
        }
    }

    /// The schema that its records were written with, where it has one.
    pub(super) fn schema(&self) -> Option<&str> {
        match &self.input {
            Input::Avro(avro) => Some(avro.schema().1),
            Input::Text { .. } | Input::Parquet(_) => None,
        }
    }

    /// A Parquet file's columns: they can stand in for a schema.
    pub(super) fn fields(&self) -> Option<&[Field]> {
        match &self.input {
            Input::Text { .. } | Input::Avro(_) => None,
            Input::Parquet(parquet) => Some(&parquet.fields),
        }
    }

    /// What it knows of its records.
    pub(super) fn known(&self) -> SourceSchema {
        let (header, fields) = (self.header().cloned(), self.fields().map(<[_]>::to_vec));
        let (csv, definition) = match &self.input {
            Input::Text { csv, .. } => (csv.as_ref().map(|(_, style)| *style), None),
            Input::Parquet(_) => (None, None),
            Input::Avro(avro) => (None, Some(avro.schema().0.clone())),
        };
        SourceSchema { header, csv, fields, definition }
    }

    /// Whether it says nothing of its records, as an empty file does.
    pub(super) fn is_blank(&self) -> bool {
        matches!(&self.input, Input::Text { csv: None, .. })
    }

    /// From now on no column but these is needed. Errors: `Config`, when it has no such column.
    pub(super) fn select(&mut self, wanted: &[String]) -> Result<()> {
        match &mut self.input {
            Input::Text { csv: Some((header, _)), .. } => check_known(wanted, header, &self.name),
            Input::Text { .. } => Ok(()),
            Input::Parquet(parquet) => parquet.select(wanted, &self.name),
            Input::Avro(avro) => {
                avro.tell_missing(wanted, &self.name);
                Ok(())
            }
        }
    }

    /// The columns of its rows from now on, of a columnar file; and those that they are to have.
    pub(super) fn rows_schema(&self) -> Result<Option<SchemaRef>> {
        match &self.input {
            Input::Text { .. } | Input::Avro(_) => Ok(None),
            Input::Parquet(parquet) => parquet.schema(&self.name).map(Some),
        }
    }

    /// Its rows are to have these columns. Errors: `Source`, naming one that cannot be had so.
    pub(super) fn fit(&mut self, schema: SchemaRef) -> Result<()> {
        match &mut self.input {
            Input::Text { .. } | Input::Avro(_) => Ok(()),
            Input::Parquet(parquet) => parquet.fit(schema, &self.name),
        }
    }

    /// Begins to read at a record, by its place in the file. How many there are before it: fewer
    /// where the file has no more. Errors: `Source`, when it cannot be read.
    pub(super) fn start(&mut self, at: i64, batch_records: usize) -> Result<i64> {
        match &mut self.input {
            Input::Parquet(parquet) => {
                parquet
                    .start(Offset(at), batch_records)
                    .map_err(|error| unreadable(&self.name, Offset(0), error))?;
                Ok(parquet.rows.min(at))
            }
            Input::Avro(avro) => avro.skip(at).map_err(|error| unreadable(&self.name, Offset(0), error)),

            Input::Text { frames, .. } => {
                let mut known = 0;
                while known < at {
                    let frame = frames.next_frame();
                    if frame.map_err(|error| unreadable(&self.name, Offset(known), error))?.is_none() {
                        break;
                    }
                    known += 1;
                }
                Ok(known)
            }
        }
    }

    /// Whether it says nothing within the time-out; only standard input waits.
    pub(super) fn is_quiet(&self, timeout: Duration) -> bool {
        match &self.input {
            Input::Text { frames, live: Some(ready), .. } => {
                !frames.get_ref().buffer().contains(&b'\n') && !ready.wait(timeout)
            }
            _ => false,
        }
    }

    /// The next records, and what follows them.
    pub(super) fn read(&mut self, batch: &Batch<'_>) -> (Records, Next) {
        match &mut self.input {
            Input::Parquet(parquet) => match parquet.next_batch() {
                Ok(Some(rows)) => (Records::Rows { first_offset: batch.first, rows }, Next::More),
                Ok(None) => (Records::Raw(Vec::new()), Next::End),
                Err(error) => {
                    let failure = unreadable(&self.name, batch.place_of(batch.first), error);
                    (Records::Raw(Vec::new()), Next::Failure(failure))
                }
            },
            Input::Text { frames, live, .. } => {
                let (records, next) = read_frames(frames, live.is_some(), batch, &self.name);
                (Records::Raw(records), next)
            }
            Input::Avro(avro) => {
                let (records, next) = avro.read(batch, &self.name);
                (Records::Raw(records), next)
            }
        }
    }
}

fn read_frames(
    frames: &mut Frames<BufReader<Bytes>>,
    is_live: bool,
    batch: &Batch<'_>,
    name: &str,
) -> (Vec<RawRecord>, Next) {
    let (mut records, mut offset, mut bytes) = (Vec::new(), batch.first, 0);
    while records.len() < batch.records && bytes < BATCH_BYTES {
        match frames.next_frame() {
            Ok(Some(frame)) => {
                bytes += frame.bytes.len();
                let (payload, cut_from) = (Some(frame.bytes.into()), frame.cut_from);
                let file = batch.file.cloned();
                records.push(RawRecord { offset, payload, cut_from, file, ..RawRecord::default() });
                offset = offset.next();
            }
            Ok(None) => return (records, Next::End),
            Err(error) => {
                let failure = unreadable(name, batch.place_of(offset), error);
                return (records, Next::Failure(failure));
            }
        }

        if is_live && !frames.get_ref().buffer().contains(&b'\n') {
            break;
        }
    }
    (records, Next::More)
}

impl Input {
    fn open_lines(path: &Path, name: &str, whole_only: bool) -> Result<Self> {
        let (bytes, live) = open(path, name)?;
        let reader = BufReader::with_capacity(READ_BYTES, bytes);
        let frames = Frames::new(reader, Framing::Lines).whole_only(whole_only);
        Ok(Input::Text { frames, csv: None, live })
    }

    fn open_csv(path: &Path, (name, spec): (&str, &CsvSpec), whole_only: bool) -> Result<Self> {
        let (bytes, live) = open(path, name)?;
        let CsvFile { frames, header, style } =
            CsvFile::open(bytes, (name, spec), (live.is_some(), whole_only))?;
        Ok(Input::Text { frames, csv: header.map(|header| (header, style)), live })
    }
}

/// The bytes of a file, or of standard input, which says when it has some.
fn open(path: &Path, name: &str) -> Result<(Bytes, Option<Ready>)> {
    let fail = || format!("cannot open {name}");
    if path == Path::new(STDIN) {
        let (stdin, ready) = Stdin::open().or_fail(Kind::Source, fail)?;
        return Ok((Box::new(stdin), Some(ready)));
    }
    Ok((open_bytes(path).or_fail(Kind::Source, fail)?, None))
}
