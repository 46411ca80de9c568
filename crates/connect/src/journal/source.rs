//! A journal as a source: one partition, numbered 0, whose positions are its records' numbers.
//! It must not write to it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::message::Records;
use tickcast_stream::source::{Event, Source};
use tickcast_stream::{LogId, LogKind, Offset, PartitionId};

use super::reader::JournalReader;
use super::segment::{open, segments};
use super::tail::{DurableEnd, Tail};
use crate::scarce::passing;
use crate::source::{OpenOptions, QuietWatch};

const PARTITION: PartitionId = PartitionId(0);
/// Records that one poll brings at most, unless it is set.
const BATCH_RECORDS: usize = 1024;

/// Up to where a journal is read.
pub(super) enum ReadTo {
    /// What this process has made durable, for as long as it writes.
    Tail(Tail),
    /// The end that there was; none: there is no journal.
    Fixed(Option<DurableEnd>),
}

/// Reads a journal.
pub(super) struct JournalSource {
    dir: PathBuf,
    to: ReadTo,
    batch_records: usize,
    quiet: QuietWatch,
    is_assigned: bool,
    is_paused: bool,
    /// None before the start and after the end.
    reader: Option<JournalReader>,
}

impl JournalSource {
    /// One that has read nothing.
    pub fn new(dir: &Path, to: ReadTo, options: OpenOptions) -> Self {
        JournalSource {
            dir: dir.to_owned(),
            to,
            batch_records: options.batch_records.unwrap_or(BATCH_RECORDS).max(1),
            quiet: QuietWatch::new(options.quiet_after),
            is_assigned: false,
            is_paused: false,
            reader: None,
        }
    }

    fn end(&self) -> Option<DurableEnd> {
        match &self.to {
            ReadTo::Tail(tail) => tail.end(),
            ReadTo::Fixed(end) => *end,
        }
    }

    /// The number of its first record.
    fn first(&self) -> Result<Offset> {
        let is_there = self.dir.is_dir();
        let firsts = if is_there { segments(&self.dir)? } else { Vec::new() };
        Ok(firsts.first().copied().unwrap_or_default())
    }

    /// All that can be read was read.
    fn at_end(&mut self) -> Event {
        match self.to {
            ReadTo::Fixed(_) => {
                self.reader = None;
                Event::End { partition: PARTITION }
            }
            ReadTo::Tail(_) if self.quiet.is_quiet(PARTITION, Instant::now()) => {
                Event::Quiet { partition: PARTITION }
            }
            ReadTo::Tail(_) => Event::Idle { problem: None },
        }
    }
}

impl Source for JournalSource {
    fn poll(&mut self, timeout: Duration) -> Result<Event> {
        if !self.is_assigned {
            self.is_assigned = true;
            return Ok(Event::Assigned(vec![PARTITION]));
        }
        let Some(reader) = self.reader.as_mut().filter(|_| !self.is_paused) else {
            sleep(timeout);
            return Ok(Event::Idle { problem: None });
        };

        let end = match &self.to {
            ReadTo::Tail(tail) => tail.wait_beyond(reader.next(), timeout),
            ReadTo::Fixed(end) => *end,
        };
        let records = match end {
            Some(end) => reader.read(end, self.batch_records).map_err(passing)?,
            None => Vec::new(),
        };
        if records.is_empty() {
            return Ok(self.at_end());
        }
        self.quiet.stir(PARTITION);
        Ok(Event::Records { partition: PARTITION, records: Records::Raw(records) })
    }

    /// Errors: `Source`, when the journal begins behind the position or ends before it.
    fn start(&mut self, partition: PartitionId, position: Option<Offset>) -> Result<()> {
        if partition != PARTITION {
            return Err(Error::new(Kind::Source, format!("a journal has no partition {partition}")));
        }
        let first = self.first()?;
        let end = self.end().map_or(first, |end| end.offset);
        let position = position.unwrap_or(first);

        if position < first || position > end {
            let what = format!(
                "the journal {} has records {first} to {end}, but is to be read from {position}",
                self.dir.display()
            );
            return Err(Error::new(Kind::Source, what));
        }
        self.reader = Some(JournalReader::new(&self.dir, position));
        Ok(())
    }

    fn set_paused(&mut self, _: PartitionId, paused: bool) -> Result<()> {
        self.is_paused = paused;
        Ok(())
    }

    fn offset_range(&mut self, _: PartitionId) -> Result<Option<Range<Offset>>> {
        let first = self.first()?;
        Ok(Some(first..self.end().map_or(first, |end| end.offset)))
    }

    fn log_id(&mut self, _: Option<LogId>) -> Result<Option<LogId>> {
        let is_there = self.dir.is_dir();
        let firsts = if is_there { segments(&self.dir)? } else { Vec::new() };
        firsts.first().map(|first| Ok(open(&self.dir, *first)?.0)).transpose()
    }

    fn log_kind(&self) -> LogKind {
        LogKind::Journal
    }

    fn unread(&mut self) -> Vec<(PartitionId, Range<Offset>)> {
        let (Some(reader), Some(end)) = (&self.reader, self.end()) else { return Vec::new() };
        vec![(PARTITION, reader.next()..end.offset.max(reader.next()))]
    }
}
