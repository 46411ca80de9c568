//! The records of an Avro object container file, as their bytes, from any record on.
//! It must not know what the records mean.

use std::fs::File;
use std::io::{self, BufReader};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::RawRecord;
use tickcast_stream::{Offset, SourceFile};

use super::avro_blocks::{AvroHeader, Block};
use super::compressed::READ_BYTES;
use super::file_batch::{BATCH_BYTES, Batch, Next, unreadable};
use crate::decode::{AvroObjects, MAX_RECORD_BYTES, RecordSchema, SchemaText, root_of};

/// A file's records.
pub(super) struct AvroRecords {
    reader: BufReader<File>,
    header: AvroHeader,
    /// The schema that they were written with.
    schema: RecordSchema,
    objects: AvroObjects,
    /// A block that the file ends within is one that is still being written.
    whole_only: bool,
    /// The block that is being read, and where in it its next record begins.
    block: Bytes,
    at: usize,
    /// Records of it that are still to be read.
    left: u64,
    /// What its records are said to be of, where the source says nothing of it.
    file: Arc<SourceFile>,
}

impl AvroRecords {
    /// Opens the file. Errors: `Config` for standard input, `Source` when it is no such file.
    pub(super) fn open(path: &Path, name: &str, whole_only: bool) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Err(Error::new(Kind::Config, "Avro files cannot be read from standard input"));
        }
        let fail = || format!("{name} is not a readable Avro file");
        let file = File::open(path).or_fail(Kind::Source, || format!("cannot open {name}"))?;
        let mut reader = BufReader::with_capacity(READ_BYTES, file);
        let header = AvroHeader::read(&mut reader).or_fail(Kind::Source, fail)?;

        let text = SchemaText { text: header.schema.clone(), references: Vec::new() };
        let schema = RecordSchema::avro(&text).or_fail(Kind::Source, fail)?;
        let objects = AvroObjects::new(&schema).or_fail(Kind::Source, fail)?;

        let (first, schema_text) = (Offset(0), Some(header.schema.clone()));
        let said = SourceFile { name: name.to_owned(), first, columns: None, schema: schema_text };
        Ok(AvroRecords {
            reader,
            header,
            schema,
            objects,
            whole_only,
            block: Bytes::new(),
            at: 0,
            left: 0,
            file: Arc::new(said),
        })
    }

    /// The schema that its records were written with, and its text.
    pub(super) fn schema(&self) -> (&RecordSchema, &str) {
        (&self.schema, &self.header.schema)
    }

    /// Says which of the wanted columns its records lack: they are null there, or what the reader's
    /// schema has in their place.
    pub(super) fn tell_missing(&self, wanted: &[String], name: &str) {
        let known = self.objects.fields();
        let is_missing = |path: &&String| !known.contains(&root_of(path, &known));
        let missing: Vec<&str> = wanted.iter().filter(is_missing).map(String::as_str).collect();
        if !missing.is_empty() {
            tracing::warn!("the schema of {name} has no field {}", missing.join(", "));
        }
    }

    /// Passes over so many records. How many there are: fewer at the end of the file.
    pub(super) fn skip(&mut self, records: i64) -> io::Result<i64> {
        let wanted = u64::try_from(records).unwrap_or(0);
        let mut passed = 0;
        while passed < wanted {
            let rest = wanted - passed;
            if self.left > 0 {
                self.next_record()?;
                passed += 1;
            } else {
                match self.next_block(|objects| objects <= rest)? {
                    Some(objects) => passed += objects,
                    None => break,
                }
            }
        }
        Ok(passed as i64)
    }

    /// The next records, and what follows them.
    pub(super) fn read(&mut self, batch: &Batch<'_>, name: &str) -> (Vec<RawRecord>, Next) {
        let (mut records, mut offset, mut bytes) = (Vec::new(), batch.first, 0);
        let file = Arc::clone(batch.file.unwrap_or(&self.file));
        while records.len() < batch.records && bytes < BATCH_BYTES {
            let range = match self.next_range() {
                Ok(Some(range)) => range,
                Ok(None) => return (records, Next::End),
                Err(error) => {
                    return (records, Next::Failure(unreadable(name, batch.place_of(offset), error)));
                }
            };

            let had = range.len();
            let kept = had.min(MAX_RECORD_BYTES + 1);
            let payload = Some(self.block.slice(range.start..range.start + kept));
            let cut_from = (had > kept).then_some(had as u64);
            records.push(RawRecord {
                offset,
                payload,
                cut_from,
                file: Some(Arc::clone(&file)),
                ..RawRecord::default()
            });
            (offset, bytes) = (offset.next(), bytes + kept);
        }
        (records, Next::More)
    }

    /// Where in the block the next record is, which may be the next block's first; none at the end.
    fn next_range(&mut self) -> io::Result<Option<Range<usize>>> {
        while self.left == 0 {
            if self.next_block(|_| false)?.is_none() {
                return Ok(None);
            }
        }
        self.next_record().map(Some)
    }

    fn next_record(&mut self) -> io::Result<Range<usize>> {
        let broken = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let from = self.at;
        let length = self.objects.length(&self.block[from..]).map_err(broken)?;
        (self.at, self.left) = (from + length, self.left - 1);
        if self.left == 0 && self.at < self.block.len() {
            let rest = self.block.len() - self.at;
            return Err(broken(format!("{rest} bytes follow the last record of a block")));
        }
        Ok(from..self.at)
    }

    /// Goes to the next block. How many of its records were passed over: all or none. None: there
    /// is no more.
    fn next_block(&mut self, pass_over: impl Fn(u64) -> bool) -> io::Result<Option<u64>> {
        let block = match self.header.block(&mut self.reader, &pass_over) {
            Err(error) if self.whole_only && error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let what = "the file ends within a block: it was cut off, or is still being written";
                return Err(io::Error::new(error.kind(), what));
            }
            block => block?,
        };
        let Some(Block { objects, bytes }) = block else { return Ok(None) };
        if pass_over(objects) {
            return Ok(Some(objects));
        }

        (self.block, self.at, self.left) = (bytes.into(), 0, objects);
        Ok(Some(0))
    }
}
