//! The file source: CSV, NDJSON or Parquet files, or standard input, as partition 0.
//! It must not know what the records mean.
//!
//! A record's position is its ordinal in the file, from 0; CSV's header row is none. Of several
//! files the positions go on from one to the next. Files ending in `.gz` and `.zst` are
//! decompressed. Nothing tells the end of a growing file: what is there when the reader comes to it
//! counts.

use std::time::{Duration, Instant};

use arrow::datatypes::Field;
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::message::Records;
use tickcast_stream::source::{Event, Source};
use tickcast_stream::{LogId, LogKind, Offset, PartitionId};

use super::file_batch::Next;
use super::file_sequence::FileSequence;
use super::file_spec::FileSourceSpec;
use super::kind::SourceSchema;
use super::quiet::QuietWatch;

/// Records that one poll brings, unless it is set.
const BATCH_RECORDS: usize = 1024;

/// A source of files is one partition.
const ONLY: PartitionId = PartitionId(0);

/// Reads files from their start to their end, one after the other.
pub struct FileSource {
    /// The path, as messages show it.
    name: String,
    files: FileSequence,
    state: State,
    paused: bool,
    batch_records: usize,
    /// The position of the next record.
    next: Offset,
    /// Of standard input.
    quiet: QuietWatch,
}

/// How far the partition is.
enum State {
    New,
    Assigned,
    /// Another file begins, which the next poll has to say.
    Beginning,
    Reading,
    /// What the next poll has to say; the records before the failure have gone out.
    Failing(Error),
    /// The open file is at its end.
    Ending,
    Done,
}

impl FileSource {
    /// Opens the file, or the first of them, and reads a CSV's header. Errors: `Source`, when it is
    /// not there or not what it should be.
    pub fn open(plan: &FileSourceSpec) -> Result<Self> {
        Ok(FileSource {
            name: plan.path.display().to_string(),
            files: FileSequence::open(plan)?,
            state: State::New,
            paused: false,
            batch_records: BATCH_RECORDS,
            next: Offset(0),
            quiet: QuietWatch::default(),
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
        self.known().header
    }

    /// A Parquet file's columns: they can stand in for a schema.
    pub fn fields(&self) -> Option<&[Field]> {
        self.files.known().fields.as_deref()
    }

    /// What it knows of its records.
    pub(super) fn known(&self) -> SourceSchema {
        self.files.known().clone()
    }

    /// The next batch; none at the end of a file, and where `state` says what comes next.
    fn read(&mut self) -> Option<Records> {
        let (records, next) = self.files.read(self.next, self.batch_records);
        match next {
            Next::More => {}
            Next::End => self.state = State::Ending,
            Next::Failure(error) => self.state = State::Failing(error),
        }
        self.next = records.next_offset().unwrap_or(self.next);
        Some(records).filter(|records| !records.is_empty())
    }

    /// What comes behind the end of a file: the next one, or the end of all.
    fn go_on(&mut self) -> (State, Result<Event>) {
        match self.files.go_on(self.next, self.batch_records) {
            Ok(true) => self.begin(),
            Ok(false) => (State::Done, Ok(Event::End { partition: ONLY })),
            Err(error) => (State::Done, Err(error)),
        }
    }

    /// Says which log it is from here on.
    fn begin(&mut self) -> (State, Result<Event>) {
        match self.files.id_here() {
            Ok(Some(log)) => (State::Reading, Ok(Event::Log { partition: ONLY, log })),
            Ok(None) => (State::Reading, Ok(Event::Idle { problem: None })),
            Err(error) => (State::Done, Err(error)),
        }
    }
}

impl Source for FileSource {
    fn select(&mut self, wanted: &[String]) -> Result<()> {
        self.files.select(wanted)
    }

    /// Reading a file does not look at the time-out.
    fn poll(&mut self, timeout: Duration) -> Result<Event> {
        if matches!(self.state, State::Reading) && !self.paused && self.files.is_quiet(timeout) {
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

        let (next, event) = match std::mem::replace(&mut self.state, State::Done) {
            State::New => (State::Assigned, Ok(Event::Assigned(vec![ONLY]))),
            State::Beginning if !self.paused => self.begin(),
            State::Ending if !self.paused => self.go_on(),
            State::Failing(error) if !self.paused => (State::Done, Err(error)),
            waiting => {
                std::thread::sleep(timeout);
                (waiting, Ok(Event::Idle { problem: None }))
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
        self.files.start(position, self.batch_records)?;
        self.next = position;
        self.state = if self.files.are_many() { State::Beginning } else { State::Reading };
        Ok(())
    }

    fn log_id(&mut self, known: Option<LogId>) -> Result<Option<LogId>> {
        self.files.log_id(known)
    }

    fn log_change(&self) -> Option<String> {
        self.files.log_change()
    }

    fn log_kind(&self) -> LogKind {
        self.files.log_kind()
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::PathBuf;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
    use tempfile::TempDir;

    use super::*;
    use crate::decode::CsvSpec;
    use crate::source::{FileEnd, FileFormat, FileOrder};

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
