//! A directory as a sink: one NDJSON file a stream and partition, or Parquet parts.
//! It must not mix partitions: a partition's file is a function of its records alone.
//!
//! `forecasts-0.ndjson` grows line by line. `forecasts-0-00000.parquet` is one part: it is written
//! beside its name as `.tmp` and renamed when it is whole, at every `sync`; readers never see half
//! a part.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use tickcast_stream::PartitionId;
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::Stream;
use tickcast_stream::record::json_lines;
use tickcast_stream::runtime::RetryPolicy;
use tickcast_stream::sink::{Begin, Sink};
use tickcast_stream::table::Table;

use super::file_spec::{FileSinkSpec, SinkFileFormat};
use super::kind::{Home, SinkKind};
use super::rewind::{NotRewound, remove_parts, shorten, whole_lines};
use crate::durable_dir::make_dir;
use crate::scarce::passing;
use crate::table::file_table;

/// Rows in a Parquet row group.
const ROW_GROUP: usize = 65_536;
/// Between two attempts to open a file.
const PAUSE: Duration = Duration::from_millis(100);

/// How much of a partition's output is there: what a commit names, and what a restart goes back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommittedLen {
    /// Of an NDJSON file.
    Bytes(u64),
    /// Parquet parts, numbered from 0.
    Parts(u32),
}

impl SinkKind for FileSinkSpec {
    fn home(&self) -> Option<Home<'_>> {
        Some(Home::Files)
    }

    fn table(&self, stream: Stream, schema: SchemaRef) -> Result<Table> {
        file_table(self, stream, schema)
    }

    fn open(&self, stream: Stream, _: &SchemaRef, patience: &RetryPolicy) -> Result<Box<dyn Sink>> {
        let sink = FileSink::open(&self.dir, self.format, stream)?;
        Ok(Box::new(FileSink { patience: Some(patience.clone()), ..sink }))
    }

    fn directory(&self) -> Option<&FileSinkSpec> {
        Some(self)
    }
}

/// Writes one stream into a directory.
pub struct FileSink {
    dir: PathBuf,
    format: SinkFileFormat,
    stream: Stream,
    /// Open from the beginning: new names are made durable also when no descriptor is left.
    synced: File,
    /// How it waits for what the machine has run out of; none: whoever asks it to write does.
    patience: Option<RetryPolicy>,
    partitions: BTreeMap<PartitionId, Output>,
    /// Partitions written to since the last `sync`.
    written: BTreeSet<PartitionId>,
}

fn not_begun(partition: PartitionId) -> Error {
    Error::new(Kind::Sink, format!("partition {partition} has not begun"))
}

enum Output {
    Ndjson(BufWriter<File>),
    Parquet { next_part: u32, open: Option<Box<Part>> },
}

/// A Parquet part that is not whole yet.
struct Part {
    writer: ArrowWriter<File>,
    whole: PathBuf,
}

impl FileSink {
    /// Errors: `Sink`, when the directory cannot be made.
    pub fn open(dir: &Path, format: SinkFileFormat, stream: Stream) -> Result<Self> {
        make_dir(dir).or_fail(Kind::Sink, || format!("cannot make the directory {}", dir.display()))?;
        let synced = File::open(dir).or_fail(Kind::Sink, || format!("cannot open {}", dir.display()))?;
        Ok(FileSink {
            dir: dir.to_owned(),
            format,
            stream,
            synced,
            patience: None,
            partitions: BTreeMap::new(),
            written: BTreeSet::new(),
        })
    }

    fn ndjson(&self, partition: PartitionId, begin: Begin) -> Result<Output> {
        let path = self.dir.join(format!("{}-{partition}.ndjson", self.stream.name()));
        let fail = || format!("cannot open {}", path.display());
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(begin == Begin::Fresh)
            .open(&path)
            .or_fail(Kind::Sink, fail)?;

        // A kill can leave half a line: it comes again, so what is there of it goes.
        let whole = whole_lines(&mut file).or_fail(Kind::Sink, fail)?;
        file.set_len(whole).or_fail(Kind::Sink, fail)?;
        file.seek(SeekFrom::End(0)).or_fail(Kind::Sink, fail)?;
        Ok(Output::Ndjson(BufWriter::new(file)))
    }

    /// How much of a partition is on the disk after `sync`.
    pub fn committed_len(&mut self, partition: PartitionId) -> Result<CommittedLen> {
        let fail = || format!("cannot tell how long partition {partition}'s file is");
        match self.partitions.get_mut(&partition) {
            Some(Output::Ndjson(file)) => {
                Ok(CommittedLen::Bytes(file.get_ref().metadata().or_fail(Kind::Sink, fail)?.len()))
            }
            Some(Output::Parquet { next_part, .. }) => Ok(CommittedLen::Parts(*next_part)),
            None => Err(not_begun(partition)),
        }
    }

    /// Takes a partition's output back to a committed length; what was written since is gone.
    /// Errors: `State`, when there is less than that.
    pub fn rewind(&mut self, partition: PartitionId, to: CommittedLen) -> Result<()> {
        let stream = self.stream.name();
        let fail = || format!("cannot take {stream} of partition {partition} back to the last commit");
        let parts = match self.format {
            SinkFileFormat::Ndjson => BTreeMap::new(),
            SinkFileFormat::Parquet => self.parts(partition)?,
        };
        let output = self.partitions.remove(&partition).ok_or_else(|| not_begun(partition))?;

        let (output, rewound) = match (output, to) {
            (Output::Ndjson(file), CommittedLen::Bytes(bytes)) => {
                // What waits in the buffer is not to be written.
                let (mut file, _) = file.into_parts();
                let rewound = shorten(&mut file, bytes);
                (Output::Ndjson(BufWriter::new(file)), rewound)
            }
            (Output::Parquet { .. }, CommittedLen::Parts(count)) => {
                let rewound = remove_parts(&parts, count, &self.synced);
                (Output::Parquet { next_part: count, open: None }, rewound)
            }
            (output, CommittedLen::Parts(_)) => {
                (output, Err(NotRewound::Other("is one file: was the format changed?".into())))
            }
            (output, CommittedLen::Bytes(_)) => {
                (output, Err(NotRewound::Other("are Parquet parts: was the format changed?".into())))
            }
        };

        // Also where it failed: it is tried again.
        self.partitions.insert(partition, output);
        rewound.map_err(|why| match why {
            NotRewound::Failed(cause) => Error::new(Kind::Sink, fail()).because(cause),
            NotRewound::Other(found) => Error::new(
                Kind::State,
                format!(
                    "{stream} of partition {partition}: the last commit names {to:?}, but there {found}; was the \
                     output directory changed?"
                ),
            ),
        })
    }

    /// A partition goes to somebody else.
    pub fn release(&mut self, partition: PartitionId) {
        self.partitions.remove(&partition);
        self.written.remove(&partition);
    }

    /// Parts of a partition by their numbers, whole ones only.
    fn parts(&self, partition: PartitionId) -> Result<BTreeMap<u32, PathBuf>> {
        let prefix = format!("{}-{partition}-", self.stream.name());
        let entries =
            fs::read_dir(&self.dir).or_fail(Kind::Sink, || format!("cannot read {}", self.dir.display()))?;
        let number = |path: &Path| {
            let name = path.file_name()?.to_str()?;
            name.strip_prefix(&prefix)?.strip_suffix(".parquet")?.parse::<u32>().ok()
        };
        Ok(entries.flatten().filter_map(|entry| Some((number(&entry.path())?, entry.path()))).collect())
    }

    fn parquet(&self, partition: PartitionId, begin: Begin) -> Result<Output> {
        let parts = self.parts(partition)?;
        if begin == Begin::Fresh {
            for path in parts.values() {
                fs::remove_file(path).or_fail(Kind::Sink, || format!("cannot remove {}", path.display()))?;
            }
        }
        let next_part =
            parts.last_key_value().filter(|_| begin == Begin::Resume).map_or(0, |(&number, _)| number + 1);
        Ok(Output::Parquet { next_part, open: None })
    }
}

impl Output {
    fn finish(self, partition: PartitionId) -> Result<()> {
        match self {
            Output::Ndjson(mut file) => {
                file.flush().or_fail(Kind::Sink, || format!("cannot write to partition {partition}'s file"))
            }
            Output::Parquet { open, .. } => open.map_or(Ok(()), |part| part.close()),
        }
    }
}

impl Part {
    /// As `open`, and waits for room and descriptors.
    fn open_patiently(whole: &Path, rows: &RecordBatch, patience: Option<&RetryPolicy>) -> Result<Self> {
        let Some(patience) = patience else { return Part::open(whole.to_owned(), rows) };
        let why = |_: &Error| format!("no room or no descriptor for {}", whole.display());
        let mut open = || Part::open(whole.to_owned(), rows).map_err(passing);
        patience.while_it_passes(PAUSE, &why, &mut open)
    }

    fn open(whole: PathBuf, rows: &RecordBatch) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .build();
        let fail = || format!("cannot write {}", whole.display());
        let file = File::create(tmp(&whole)).or_fail(Kind::Sink, fail)?;
        let writer = ArrowWriter::try_new(file, rows.schema(), Some(properties)).or_fail(Kind::Sink, fail)?;
        Ok(Part { writer, whole })
    }

    fn close(self) -> Result<()> {
        let fail = || format!("cannot write {}", self.whole.display());
        let file = self.writer.into_inner().or_fail(Kind::Sink, fail)?;
        file.sync_all().or_fail(Kind::Sink, fail)?;
        fs::rename(tmp(&self.whole), &self.whole).or_fail(Kind::Sink, fail)
    }
}

fn tmp(whole: &Path) -> PathBuf {
    whole.with_extension("parquet.tmp")
}

impl Sink for FileSink {
    fn begin(&mut self, partition: PartitionId, begin: Begin) -> Result<()> {
        // It may have been ours before: what it wrote then is finished first.
        if let Some(before) = self.partitions.remove(&partition) {
            before.finish(partition)?;
        }
        let output = match self.format {
            SinkFileFormat::Ndjson => self.ndjson(partition, begin),
            SinkFileFormat::Parquet => self.parquet(partition, begin),
        };
        let output = output.map_err(passing)?;
        // A commit may name what is there now, and what was cut off is not to come back.
        let fail = || format!("cannot sync partition {partition} in {}", self.dir.display());
        if let Output::Ndjson(file) = &output {
            file.get_ref().sync_all().or_fail(Kind::Sink, fail)?;
        }
        self.synced.sync_all().or_fail(Kind::Sink, fail)?;
        self.partitions.insert(partition, output);
        Ok(())
    }

    fn write(&mut self, partition: PartitionId, rows: &RecordBatch) -> Result<()> {
        let (dir, stream) = (self.dir.clone(), self.stream.name());
        let fail = || format!("cannot write {stream} of partition {partition} to {}", dir.display());

        let output = self.partitions.get_mut(&partition);
        self.written.insert(partition);
        match output.ok_or_else(|| not_begun(partition))? {
            Output::Ndjson(file) => file.write_all(&json_lines(rows)?).or_fail(Kind::Sink, fail),
            Output::Parquet { next_part, open } => {
                if open.is_none() {
                    let path = dir.join(format!("{stream}-{partition}-{next_part:05}.parquet"));
                    *open = Some(Box::new(Part::open_patiently(&path, rows, self.patience.as_ref())?));
                    *next_part += 1;
                }
                match open {
                    Some(part) => part.writer.write(rows).or_fail(Kind::Sink, fail),
                    None => Ok(()),
                }
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        for (partition, output) in &mut self.partitions {
            if let Output::Ndjson(file) = output {
                file.flush()
                    .or_fail(Kind::Sink, || format!("cannot write to partition {partition}'s file"))?;
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.flush()?;
        if self.written.is_empty() {
            return Ok(());
        }
        for partition in std::mem::take(&mut self.written) {
            let Some(output) = self.partitions.get_mut(&partition) else { continue };
            match output {
                Output::Ndjson(file) => file
                    .get_ref()
                    .sync_data()
                    .or_fail(Kind::Sink, || format!("cannot sync partition {partition}"))?,
                Output::Parquet { open, .. } => open.take().map_or(Ok(()), |part| part.close())?,
            }
        }

        // New names are in the directory: they must be as durable as what they name.
        self.synced.sync_all().or_fail(Kind::Sink, || format!("cannot sync {}", self.dir.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn rows(values: &[i64]) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values.to_vec()))]).unwrap()
    }

    fn write(dir: &Path, format: SinkFileFormat, begin: Begin, values: &[i64]) {
        let mut sink = FileSink::open(dir, format, Stream::Scores).unwrap();
        sink.begin(PartitionId(3), begin).unwrap();
        sink.write(PartitionId(3), &rows(values)).unwrap();
        sink.sync().unwrap();
    }

    #[test]
    fn half_a_line_goes_and_whole_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scores-3.ndjson");
        write(dir.path(), SinkFileFormat::Ndjson, Begin::Resume, &[1, 2]);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"n\":").unwrap();
        write(dir.path(), SinkFileFormat::Ndjson, Begin::Resume, &[3]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
        write(dir.path(), SinkFileFormat::Ndjson, Begin::Fresh, &[4]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"n\":4}\n");
    }

    #[test]
    fn parquet_parts_are_whole_and_numbered_on() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), SinkFileFormat::Parquet, Begin::Resume, &[1, 2]);
        write(dir.path(), SinkFileFormat::Parquet, Begin::Resume, &[3]);
        let mut names: Vec<String> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["scores-3-00000.parquet", "scores-3-00001.parquet"]);
        write(dir.path(), SinkFileFormat::Parquet, Begin::Fresh, &[4]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
