//! The files of a source, read one after the other; one file is a sequence too.
//! It must not decode a record.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::message::Records;
use tickcast_stream::{LogId, LogKind, Offset, SourceFile};

use super::file_batch::{Batch, Next};
use super::file_list::{ListedFile, Listing};
use super::file_reader::FileReader;
use super::file_spec::{FileEnd, FileOrder, FileSourceSpec};
use super::kind::SourceSchema;
use super::sequence_id::{SequenceId, id_of_one};
use crate::decode::CsvSpec;

/// The files, one of which is open.
pub(super) struct FileSequence {
    files: Vec<ListedFile>,
    /// Whether the path stands for several, though there may be one.
    is_many: bool,
    end: FileEnd,
    order: FileOrder,
    /// How CSV is written; what the first file shows holds for all.
    csv: CsvSpec,
    known: SourceSchema,
    wanted: Option<Vec<String>>,
    /// The columns of all rows.
    schema: Option<SchemaRef>,
    /// The place of the one that is open.
    at: usize,
    reader: FileReader,
    /// What is said with its records, where there are several.
    file: Option<Arc<SourceFile>>,
    /// The position of its first record.
    first: Offset,
    id: SequenceId,
}

impl FileSequence {
    /// Opens the first, and looks into it and those after it for what CSV's columns are. Errors:
    /// `Source`, when there is none, or one is not what it should be.
    pub(super) fn open(spec: &FileSourceSpec) -> Result<Self> {
        let (files, is_many) = match Listing::of(spec)? {
            Listing::One(file) => (vec![file], false),
            Listing::Many(files) => (files, true),
        };
        let whole_only = |at: usize| spec.end == FileEnd::Keep && at + 1 == files.len();

        let reader = FileReader::open(&files[0], &spec.csv, whole_only(0))?;

        let (mut known, mut csv) = (reader.known(), spec.csv.clone());
        let mut is_blank = reader.is_blank();
        for (at, file) in files.iter().enumerate().skip(1) {
            if !is_blank {
                break;
            }
            let next = FileReader::open(file, &csv, whole_only(at))?;
            (known, is_blank) = (next.known(), next.is_blank());
        }
        if let Some(style) = known.csv.filter(|_| is_many) {
            csv.delimiter = Some(style.delimiter);
            (csv.decimal, csv.thousands) = (Some(style.numbers.decimal), style.numbers.thousands);
        }

        let id = SequenceId::default();
        let mut sequence = FileSequence {
            files,
            is_many,
            end: spec.end,
            order: spec.order,
            csv,
            known,
            wanted: None,
            schema: None,
            at: 0,
            reader,
            file: None,
            first: Offset(0),
            id,
        };
        sequence.say_file();
        Ok(sequence)
    }

    /// What is known of its records before they are read.
    pub(super) fn known(&self) -> &SourceSchema {
        &self.known
    }

    /// Whether the path stands for several, though there may be one.
    pub(super) fn are_many(&self) -> bool {
        self.is_many
    }

    /// From now on no column but these is needed. Errors: `Config`, when the first file has no such
    /// column.
    pub(super) fn select(&mut self, wanted: &[String]) -> Result<()> {
        self.reader.select(wanted)?;
        if self.is_many {
            self.schema = self.reader.rows_schema()?;
            self.fit()?;
        }
        self.wanted = Some(wanted.to_vec());
        Ok(())
    }

    /// Passes over the records before a position. Errors: `Source`, when there are not so many.
    pub(super) fn start(&mut self, position: Offset, batch_records: usize) -> Result<()> {
        loop {
            let wanted = position.since(self.first);
            let known = self.reader.start(wanted, batch_records)?;
            if known == wanted {
                return Ok(());
            }

            // A position that was committed is in the file that was being read then, or at its end.
            let is_last = self.at + 1 == self.files.len() || self.id.was_reading() == Some(self.at);
            if is_last {
                let name = self.files[self.at].path.display();
                let what = format!("{name} has {known} records, but is to be read from record {wanted} on");
                return Err(Error::new(Kind::Source, what));
            }
            self.open_next(self.first.plus(known as usize))?;
        }
    }

    /// Whether it says nothing within the time-out; only standard input waits.
    pub(super) fn is_quiet(&self, timeout: Duration) -> bool {
        self.reader.is_quiet(timeout)
    }

    /// The next records of the file that is open, and what follows them there.
    pub(super) fn read(&mut self, first: Offset, records: usize) -> (Records, Next) {
        self.reader.read(&Batch { first, records, file: self.file.as_ref() })
    }

    /// Goes on to the next file, whose first record has this position; false: there is none.
    /// Errors: `Source`, when it is not what it should be.
    pub(super) fn go_on(&mut self, first: Offset, batch_records: usize) -> Result<bool> {
        if self.at + 1 == self.files.len() {
            return Ok(false);
        }
        self.open_next(first)?;
        self.reader.start(0, batch_records)?;
        Ok(true)
    }

    fn open_next(&mut self, first: Offset) -> Result<()> {
        self.at += 1;
        let whole_only = self.end == FileEnd::Keep && self.at + 1 == self.files.len();
        self.reader = FileReader::open(&self.files[self.at], &self.csv, whole_only)?;
        if let Some(wanted) = &self.wanted {
            self.reader.select(wanted)?;
            self.fit()?;
        }
        self.first = first;
        self.say_file();
        Ok(())
    }

    fn fit(&mut self) -> Result<()> {
        let schema = self.schema.clone();
        schema.map_or(Ok(()), |schema| self.reader.fit(schema))
    }

    fn say_file(&mut self) {
        if self.is_many {
            let (name, first) = (self.files[self.at].path.display().to_string(), self.first);
            tracing::debug!("{name} begins with record {first}");
            let (columns, schema) = (self.reader.header().cloned(), self.reader.schema().map(str::to_owned));
            self.file = Some(Arc::new(SourceFile { name, first, columns, schema }));
        }
    }

    /// What the log is from the open file's first record on, where there are several files. Errors:
    /// `Source`, when one of them cannot be read any more.
    pub(super) fn id_here(&mut self) -> Result<Option<LogId>> {
        if !self.is_many || self.order == FileOrder::Time {
            return Ok(None);
        }
        self.id.here(&self.files, self.at).map(Some)
    }

    /// Which log it is: `known` while it is still that one. Errors: `Source`, when a file cannot be
    /// read.
    pub(super) fn log_id(&mut self, known: Option<LogId>) -> Result<Option<LogId>> {
        match (self.is_many, self.order) {
            (false, order) => id_of_one(&self.files[0], known, order),
            (true, FileOrder::Arrival) => self.id.of_files(&self.files, known).map(Some),
            (true, FileOrder::Time) => self.id.of_sorted(&self.files, known).map(Some),
        }
    }

    pub(super) fn log_change(&self) -> Option<String> {
        self.id.change()
    }

    pub(super) fn log_kind(&self) -> LogKind {
        match (self.is_many, self.order) {
            (true, _) => LogKind::Files,
            (false, FileOrder::Arrival) => LogKind::File,
            (false, FileOrder::Time) => LogKind::SortedFile,
        }
    }
}
