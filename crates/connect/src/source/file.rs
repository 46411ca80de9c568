//! The file source: a CSV, NDJSON or Parquet file, or standard input, as partition 0.
//! It must not know what the records mean.
//!
//! A record's position is its ordinal in the file, from 0; CSV's header row is none. Files ending
//! in `.gz` and `.zst` are decompressed. Nothing tells the end of a growing file: what is there
//! when the reader comes to it counts.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arrow::datatypes::Field;
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::{RawRecord, Records};
use tickcast_stream::source::{Event, Source};
use tickcast_stream::{LogId, LogKind, Offset, PartitionId};

use super::compressed::{READ_BYTES, open_bytes};
use super::csv_file::{Bytes, CsvFile};
use super::file_identity::{identity, of_length};
use super::file_spec::{FileEnd, FileFormat, FileOrder, FileSourceSpec, STDIN};
use super::frames::{Frames, Framing};
use super::kind::SourceSchema;
use super::parquet_rows::ParquetRows;
use super::quiet::QuietWatch;
use super::stdin::{Ready, Stdin};
use crate::decode::{CsvStyle, check_known};

/// Records that one poll brings, unless it is set.
const BATCH_RECORDS: usize = 1024;
/// A batch ends early when its records have so many bytes together.
const BATCH_BYTES: usize = 16 << 20;

/// A file is one partition.
const ONLY: PartitionId = PartitionId(0);

/// Reads one file from its start to its end.
pub struct FileSource {
    path: PathBuf,
    /// The path, as messages show it.
    name: String,
    input: Input,
    state: State,
    paused: bool,
    batch_records: usize,
    /// The position of the next record.
    next: Offset,
    /// Of standard input.
    quiet: QuietWatch,
    order: FileOrder,
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
}

/// How far the partition is.
enum State {
    New,
    Assigned,
    Reading,
    /// What the next poll has to say; the records before the failure have gone out.
    Failing(Error),
    Ending,
    Done,
}

impl FileSource {
    /// Opens the file and reads a CSV's header. Errors: `Source`, when it is not there or not what
    /// it should be.
    pub fn open(plan: &FileSourceSpec) -> Result<Self> {
        let name = plan.path.display().to_string();
        let whole_only = plan.end == FileEnd::Keep;
        let input = match plan.format {
            FileFormat::Parquet => Input::Parquet(Box::new(ParquetRows::open(&plan.path, &name)?)),
            FileFormat::Ndjson => Input::open_lines(&plan.path, &name, whole_only)?,
            FileFormat::Csv => Input::open_csv(plan, &name, whole_only)?,
        };

        Ok(FileSource {
            path: plan.path.clone(),
            name,
            input,
            state: State::New,
            paused: false,
            batch_records: BATCH_RECORDS,
            next: Offset(0),
            quiet: QuietWatch::default(),
            order: plan.order,
        })
    }

    /// The same source, which tells when nothing has come of standard input for so long.
    pub fn with_quiet_after(mut self, after: Option<Duration>) -> Self {
        self.quiet = QuietWatch::new(after);
        self
    }

    /// The same source with at most so many records a poll, at least one.
    pub fn with_batch_records(mut self, batch_records: usize) -> Self {
        self.batch_records = batch_records.max(1);
        self
    }

    /// A CSV's column names, without blanks around them; none for other formats and for an empty
    /// file.
    pub fn header(&self) -> Option<Vec<String>> {
        match &self.input {
            Input::Text { csv, .. } => csv.as_ref().map(|(header, _)| header.clone()),
            Input::Parquet(_) => None,
        }
    }

    /// A Parquet file's columns: they can stand in for a schema.
    pub fn fields(&self) -> Option<&[Field]> {
        match &self.input {
            Input::Text { .. } => None,
            Input::Parquet(parquet) => Some(&parquet.fields),
        }
    }

    /// What it knows of its records.
    pub(super) fn known(&self) -> SourceSchema {
        let csv = match &self.input {
            Input::Text { csv, .. } => csv.as_ref().map(|(_, style)| *style),
            Input::Parquet(_) => None,
        };
        SourceSchema { header: self.header(), csv, fields: self.fields().map(<[_]>::to_vec) }
    }

    /// The next batch; empty at the end, and where `state` says what comes next.
    fn read(&mut self) -> Option<Records> {
        let first_offset = self.next;
        let records = match &mut self.input {
            Input::Parquet(parquet) => match parquet.next_batch() {
                Ok(rows) => rows.map(|rows| Records::Rows { first_offset, rows }),
                Err(error) => {
                    self.state = State::Failing(unreadable(&self.name, self.next, error));
                    return None;
                }
            },
            Input::Text { .. } => Some(Records::Raw(self.read_frames())),
        };

        let records = records.filter(|records| !records.is_empty());
        match records.as_ref().and_then(Records::next_offset) {
            Some(next) => self.next = next,
            None if matches!(self.state, State::Reading) => self.state = State::Ending,
            None => {}
        }
        records
    }

    /// Whether standard input says nothing within the time-out.
    fn is_quiet(&self, timeout: Duration) -> bool {
        match &self.input {
            Input::Text { frames, live: Some(ready), .. } => {
                !frames.get_ref().buffer().contains(&b'\n') && !ready.wait(timeout)
            }
            _ => false,
        }
    }

    fn read_frames(&mut self) -> Vec<RawRecord> {
        let mut records = Vec::new();
        let Input::Text { frames, live, .. } = &mut self.input else { return records };

        let (mut offset, mut bytes) = (self.next, 0);
        while records.len() < self.batch_records && bytes < BATCH_BYTES {
            match frames.next_frame() {
                Ok(Some(frame)) => {
                    bytes += frame.bytes.len();
                    let (payload, cut_from) = (Some(frame.bytes.into()), frame.cut_from);
                    records.push(RawRecord { offset, payload, cut_from, ..RawRecord::default() });
                    offset = offset.next();
                }
                Ok(None) => {
                    self.state = State::Ending;
                    break;
                }
                Err(error) => {
                    self.state = State::Failing(unreadable(&self.name, offset, error));
                    break;
                }
            }

            if live.is_some() && !frames.get_ref().buffer().contains(&b'\n') {
                break;
            }
        }
        records
    }

    /// Passes over the records before `position`.
    fn skip_to(&mut self, position: Offset) -> Result<()> {
        let known = match &mut self.input {
            Input::Parquet(parquet) => {
                parquet
                    .start(position, self.batch_records)
                    .map_err(|error| unreadable(&self.name, Offset(0), error))?;
                Offset(parquet.rows).min(position)
            }
            Input::Text { frames, .. } => {
                let mut known = Offset(0);
                while known < position {
                    let frame = frames.next_frame().map_err(|error| unreadable(&self.name, known, error))?;
                    if frame.is_none() {
                        break;
                    }
                    known = known.next();
                }
                known
            }
        };

        if known < position {
            let what =
                format!("{} has {known} records, but is to be read from record {position} on", self.name);
            return Err(Error::new(Kind::Source, what));
        }
        self.next = position;
        Ok(())
    }
}

impl Source for FileSource {
    fn select(&mut self, wanted: &[String]) -> Result<()> {
        match &mut self.input {
            Input::Text { csv: Some((header, _)), .. } => check_known(wanted, header, &self.name),
            Input::Text { .. } => Ok(()),
            Input::Parquet(parquet) => parquet.select(wanted, &self.name),
        }
    }

    /// Reading a file does not look at the time-out.
    fn poll(&mut self, timeout: Duration) -> Result<Event> {
        if matches!(self.state, State::Reading) && !self.paused && self.is_quiet(timeout) {
            let is_news = self.quiet.is_quiet(ONLY, Instant::now());
            return Ok(if is_news {
                Event::Quiet { partition: ONLY }
            } else {
                Event::Idle { problem: None }
            });
        }
        if matches!(self.state, State::Reading)
            && !self.paused
            && let Some(records) = self.read()
        {
            self.quiet.stir(ONLY);
            return Ok(Event::Records { partition: ONLY, records });
        }

        let idle = Event::Idle { problem: None };
        let (next, event) = match std::mem::replace(&mut self.state, State::Done) {
            State::New => (State::Assigned, Ok(Event::Assigned(vec![ONLY]))),
            State::Ending if !self.paused => (State::Done, Ok(Event::End { partition: ONLY })),
            State::Failing(error) if !self.paused => (State::Done, Err(error)),
            waiting => {
                std::thread::sleep(timeout);
                (waiting, Ok(idle))
            }
        };
        self.state = next;
        event
    }

    fn start(&mut self, partition: PartitionId, position: Option<Offset>) -> Result<()> {
        let position = position.unwrap_or(Offset(0));
        if partition != ONLY || position < Offset(0) || !matches!(self.state, State::Assigned) {
            let what = format!("{}: partition {partition} cannot be started at {position} now", self.name);
            return Err(Error::new(Kind::Source, what));
        }
        self.skip_to(position)?;
        self.state = State::Reading;
        Ok(())
    }

    fn log_id(&mut self, known: Option<LogId>) -> Result<Option<LogId>> {
        if self.path == Path::new(STDIN) {
            return Ok(None);
        }
        let id = open_bytes(&self.path).and_then(|bytes| identity(bytes, known));
        let id = id.and_then(|id| match self.order {
            FileOrder::Arrival => Ok(id),
            // What is added would stand among what was read.
            FileOrder::Time => Ok(of_length(id, self.path.metadata()?.len())),
        });
        id.map(Some).or_fail(Kind::Source, || format!("cannot read the beginning of {}", self.name))
    }

    fn log_kind(&self) -> LogKind {
        match self.order {
            FileOrder::Arrival => LogKind::File,
            FileOrder::Time => LogKind::SortedFile,
        }
    }

    fn set_paused(&mut self, _partition: PartitionId, paused: bool) -> Result<()> {
        self.paused = paused;
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.state = State::Done;
        Ok(())
    }
}

fn unreadable(
    name: &str,
    record: Offset,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::new(Kind::Source, format!("cannot read {name} at record {record}")).because(cause)
}

impl Input {
    fn open_lines(path: &Path, name: &str, whole_only: bool) -> Result<Self> {
        let (bytes, live) = open(path, name)?;
        let reader = BufReader::with_capacity(READ_BYTES, bytes);
        let frames = Frames::new(reader, Framing::Lines).whole_only(whole_only);
        Ok(Input::Text { frames, csv: None, live })
    }

    fn open_csv(plan: &FileSourceSpec, name: &str, whole_only: bool) -> Result<Self> {
        let (bytes, live) = open(&plan.path, name)?;
        let CsvFile { frames, header, style } =
            CsvFile::open(bytes, (name, &plan.csv), (live.is_some(), whole_only))?;
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::PathBuf;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
    use tempfile::TempDir;

    use super::*;
    use crate::decode::CsvSpec;

    const NO_WAIT: Duration = Duration::ZERO;

    fn plan(dir: &TempDir, name: &str, bytes: &[u8]) -> FileSourceSpec {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let format = match name {
            name if name.contains("parquet") => FileFormat::Parquet,
            name if name.contains("csv") => FileFormat::Csv,
            _ => FileFormat::Ndjson,
        };
        FileSourceSpec {
            path,
            format,
            csv: CsvSpec::default(),
            end: FileEnd::Close,
            order: FileOrder::Arrival,
        }
    }

    fn started(plan: &FileSourceSpec, position: Offset, batch_records: usize) -> FileSource {
        let mut source = FileSource::open(plan).unwrap().with_batch_records(batch_records);
        assert!(matches!(source.poll(NO_WAIT).unwrap(), Event::Assigned(ids) if ids == [ONLY]));
        assert!(matches!(source.poll(NO_WAIT).unwrap(), Event::Idle { .. }));
        source.start(ONLY, Some(position)).unwrap();
        source
    }

    /// Reads to the end or the first error: offset and text of every record.
    fn drain(source: &mut FileSource) -> (Vec<(Offset, String)>, Option<Error>) {
        let mut seen = Vec::new();
        loop {
            match source.poll(NO_WAIT) {
                Ok(Event::Records { partition: ONLY, records: Records::Raw(records) }) => {
                    assert!(!records.is_empty());
                    seen.extend(records.into_iter().map(|record| {
                        (record.offset, String::from_utf8(record.payload.unwrap().to_vec()).unwrap())
                    }));
                }
                Ok(Event::End { partition: ONLY }) => {
                    assert!(matches!(source.poll(NO_WAIT).unwrap(), Event::Idle { .. }));
                    return (seen, None);
                }
                Err(error) => return (seen, Some(error)),
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    fn gz(text: &str) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(text.as_bytes()).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn any_compression_batch_and_position_gives_the_same_records() {
        let dir = tempfile::tempdir().unwrap();
        let text = "a\nb\n\nc\nd\n";
        let members = [gz("a\nb"), gz("\n\nc\nd\n")].concat();
        let frames =
            [zstd::encode_all(&b"a\nb\n"[..], 1).unwrap(), zstd::encode_all(&b"c\nd"[..], 1).unwrap()]
                .concat();
        let all = ["a", "b", "c", "d"].map(String::from);
        let expected: Vec<(Offset, String)> = (0..).map(Offset).zip(all).collect();
        for (name, bytes) in [("x.json", text.as_bytes()), ("x.json.gz", &members), ("x.json.zst", &frames)] {
            let plan = plan(&dir, name, bytes);
            for batch in 1..6 {
                for position in 0..=4 {
                    let (seen, error) = drain(&mut started(&plan, Offset(position), batch));
                    assert!(error.is_none());
                    assert_eq!(seen, expected[position as usize..], "{name} {batch} {position}");
                }
            }
        }
    }

    #[test]
    fn a_csv_header_names_the_columns_and_is_no_record() {
        let dir = tempfile::tempdir().unwrap();
        let plan =
            plan(&dir, "x.csv", "\u{feff}station,\"observed at\" , temp \r\nJFK,2013-01-01,1\n".as_bytes());
        let mut source = started(&plan, Offset(0), 10);
        assert_eq!(source.header().unwrap(), ["station", "observed at", "temp"]);
        source.select(&["temp".into()]).unwrap();
        let message = source.select(&["tmep".into()]).unwrap_err().to_string();
        assert!(
            message.ends_with("no column `tmep`, did you mean `temp`? It has: station, observed at, temp"),
            "{message}"
        );
        assert_eq!(drain(&mut source).0, [(Offset(0), "JFK,2013-01-01,1".to_owned())]);
    }

    #[test]
    fn an_empty_file_ends_at_once() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["x.csv", "x.json", "header.csv"] {
            let text = if name == "header.csv" { "a,b\n" } else { "" };
            let plan = plan(&dir, name, text.as_bytes());
            let mut source = started(&plan, Offset(0), 10);
            assert_eq!(source.header().is_some(), name == "header.csv");
            assert!(drain(&mut source).0.is_empty());
        }
    }

    #[test]
    fn a_corrupt_file_gives_what_stands_before_the_fault_then_says_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = gz("a\nb\nc\n");
        bytes.extend(b"no gzip member");
        let plan = plan(&dir, "x.json.gz", &bytes);
        let (seen, error) = drain(&mut started(&plan, Offset(0), 10));
        assert_eq!(seen.len(), 3);
        let message = error.unwrap().to_string();
        assert!(message.contains("x.json.gz at record 3: "), "{message}");
    }

    #[test]
    fn a_missing_or_shorter_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = FileSourceSpec {
            path: PathBuf::from("/no/such.csv"),
            csv: CsvSpec::default(),
            format: FileFormat::Csv,
            end: FileEnd::Close,
            order: FileOrder::Arrival,
        };
        let message = FileSource::open(&missing).err().unwrap().to_string();
        assert!(message.starts_with("source: cannot open /no/such.csv: No such file"), "{message}");
        let plan = plan(&dir, "x.json", b"a\n");
        let mut source = FileSource::open(&plan).unwrap();
        source.poll(NO_WAIT).unwrap();
        let message = source.start(ONLY, Some(Offset(2))).unwrap_err().to_string();
        assert!(message.ends_with("x.json has 1 records, but is to be read from record 2 on"), "{message}");
    }

    #[test]
    fn a_paused_source_waits() {
        let dir = tempfile::tempdir().unwrap();
        let plan = plan(&dir, "x.json", b"a\nb\n");
        let mut source = started(&plan, Offset(0), 1);
        source.set_paused(PartitionId(0), true).unwrap();
        assert!(matches!(source.poll(NO_WAIT).unwrap(), Event::Idle { .. }));
        source.set_paused(PartitionId(0), false).unwrap();
        assert_eq!(drain(&mut source).0.len(), 2);
    }

    fn parquet_bytes(rows: usize) -> Vec<u8> {
        let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("s{row}"))));
        let values: ArrayRef = Arc::new(Float64Array::from_iter_values((0..rows).map(|row| row as f64)));
        let batch =
            RecordBatch::try_from_iter([("name", names), ("value", values.clone()), ("more", values)])
                .unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        for start in (0..rows).step_by(4) {
            writer.write(&batch.slice(start, 4.min(rows - start))).unwrap();
            writer.flush().unwrap();
        }
        writer.into_inner().unwrap()
    }

    #[test]
    fn parquet_rows_are_read_by_column_from_any_position() {
        let dir = tempfile::tempdir().unwrap();
        let plan = plan(&dir, "x.parquet", &parquet_bytes(10));
        for (batch, position) in [(3, 0), (4, 5), (100, 9), (1, 10)] {
            let mut source = FileSource::open(&plan).unwrap().with_batch_records(batch);
            assert_eq!(source.fields().unwrap().len(), 3);
            source.select(&["value".into(), "name".into()]).unwrap();
            source.poll(NO_WAIT).unwrap();
            source.start(ONLY, Some(Offset(position))).unwrap();
            let mut next = Offset(position);
            while let Event::Records { records, .. } = source.poll(NO_WAIT).unwrap() {
                let Records::Rows { first_offset, rows } = &records else { panic!("rows are expected") };
                assert_eq!((*first_offset, rows.num_columns()), (next, 2));
                assert_eq!(
                    rows["name"].as_ref(),
                    &StringArray::from_iter_values(
                        (next.0..next.plus(rows.num_rows()).0).map(|row| format!("s{row}"))
                    )
                );
                next = records.next_offset().unwrap();
            }
            assert_eq!(next, Offset(10));
        }
    }

    #[test]
    fn what_is_no_parquet_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let message = FileSource::open(&plan(&dir, "x.parquet", b"hello")).err().unwrap().to_string();
        assert!(message.contains("x.parquet is not a readable Parquet file"), "{message}");
        let stdin = FileSourceSpec {
            path: PathBuf::from("-"),
            format: FileFormat::Parquet,
            csv: CsvSpec::default(),
            end: FileEnd::Close,
            order: FileOrder::Arrival,
        };
        assert!(FileSource::open(&stdin).is_err());
    }
}
