//! Appends records to a journal: durable before it returns, or not there at all.
//! It must not group what several senders bring: it is given whole groups.

use std::collections::hash_map::RandomState;
use std::fs::{File, TryLockError};
use std::hash::BuildHasher;
use std::io::{self, Seek, SeekFrom, Write};

use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::RawRecord;
use tickcast_stream::{LogId, Offset};

use super::frame::write_frame;
use super::repair::{FoundEnd, find_end};
use super::retention::drop_old;
use super::segment::{HEADER_BYTES, create, open, path_of};
use super::spec::JournalSpec;
use super::tail::DurableEnd;
use crate::durable_dir::make_dir;
use crate::ingest::RecordLog;

const LOCK: &str = "lock";

/// Says the first record that is still needed; none: all are.
pub type Needed = Box<dyn Fn() -> Result<Option<Offset>> + Send>;

/// The one writer of a journal.
pub struct JournalWriter {
    spec: JournalSpec,
    id: LogId,
    /// None after a write that failed: nobody knows what is behind the durable end.
    file: Option<File>,
    end: DurableEnd,
    needed: Needed,
    _lock: File,
}

impl JournalWriter {
    /// Opens the journal, or makes it, and cuts what a crash has left behind its last whole record.
    /// Errors: `Source`, when another process writes it, or a record is damaged that was durable
    /// once.
    pub fn open(spec: &JournalSpec, needed: Needed) -> Result<Self> {
        let dir = spec.dir.as_path();
        let fail = || format!("cannot open the journal {}", dir.display());
        make_dir(dir).or_fail(Kind::Source, fail)?;
        let lock = lock(spec)?;
        let found = match find_end(dir)? {
            Some(found) => found,
            None => {
                create(dir, new_id(), Offset(0)).or_fail(Kind::Source, fail)?;
                let end = DurableEnd { offset: Offset(0), segment: Offset(0), bytes: HEADER_BYTES };
                FoundEnd { end, torn_bytes: 0 }
            }
        };

        let FoundEnd { end, torn_bytes } = found;
        let (id, _) = open(dir, end.segment)?;
        let mut writer = JournalWriter { spec: spec.clone(), id, file: None, end, needed, _lock: lock };
        writer.file = Some(writer.cut().or_fail(Kind::Source, fail)?);
        if torn_bytes > 0 {
            let journal = dir.display();
            tracing::warn!(%journal, torn_bytes, "cut what a crash had left of records that were never answered");
        }
        spec.tail.set(end);
        Ok(writer)
    }

    /// The last segment, cut at the durable end, and durable so.
    fn cut(&self) -> io::Result<File> {
        let mut file = File::options().write(true).open(path_of(&self.spec.dir, self.end.segment))?;
        file.set_len(self.end.bytes)?;
        file.sync_all()?;
        file.seek(SeekFrom::Start(self.end.bytes))?;
        Ok(file)
    }

    /// Writes and makes durable.
    fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.cut()?,
        };
        if self.end.bytes > HEADER_BYTES && self.end.bytes >= self.spec.segment_bytes {
            file = create(&self.spec.dir, self.id, self.end.offset)?;
            self.end = DurableEnd { segment: self.end.offset, bytes: HEADER_BYTES, ..self.end };
        }

        fail::fail_point!("journal.full", |_| Err(io::ErrorKind::StorageFull.into()));
        file.write_all(frames)?;
        file.sync_data()?;
        fail::fail_point!("journal.synced", |_| std::process::abort());
        self.file = Some(file);
        Ok(())
    }

    /// Drops what is old and no longer needed. It is no failure of what was just written.
    fn drop_old(&self) {
        let dropped = (self.needed)().and_then(|needed| match needed {
            Some(needed) => drop_old(&self.spec.dir, needed, self.spec.keep),
            None => Ok(0),
        });

        match dropped {
            Ok(0) => {}
            Ok(segments) => {
                tracing::info!(journal = %self.spec.dir.display(), segments, "dropped old segments")
            }
            Err(error) => tracing::warn!(%error, "old segments of the journal are not dropped"),
        }
    }
}

impl RecordLog for JournalWriter {
    /// Errors: `Source`; all pass by themselves or when somebody makes room, and nothing of the
    /// records is there then.
    fn append(&mut self, records: &[RawRecord]) -> Result<()> {
        let (mut frames, mut offset) = (Vec::new(), self.end.offset);
        for record in records {
            let written = write_frame(&mut frames, record, (offset, self.end.offset));
            written.map_err(|why| Error::new(Kind::Source, format!("cannot store {why}")))?;
            offset = offset.next();
        }

        let segment = self.end.segment;
        if let Err(cause) = self.write(&frames) {
            // Also of a sync that failed nobody knows what of it is on the disk: it is cut.
            self.file = None;
            let what = format!("cannot write to the journal {}", self.spec.dir.display());
            return Err(Error::transient(Kind::Source, what).because(cause));
        }
        self.end = DurableEnd { offset, bytes: self.end.bytes + frames.len() as u64, ..self.end };
        self.spec.tail.set(self.end);
        if self.end.segment != segment {
            self.drop_old();
        }
        Ok(())
    }
}

/// Holds the journal for this process, until the lock is dropped.
fn lock(spec: &JournalSpec) -> Result<File> {
    let path = spec.dir.join(LOCK);
    let fail = || format!("cannot lock the journal {}", spec.dir.display());
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.or_fail(Kind::Source, fail)?;

    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::new(Kind::Source, fail()).because("another run writes to it; stop it first"))
        }
        Err(TryLockError::Error(cause)) => Err(Error::new(Kind::Source, fail()).because(cause)),
    }
}

/// An id that no other journal has.
fn new_id() -> LogId {
    let [high, low] = [(); 2].map(|()| u128::from(RandomState::new().hash_one(std::process::id())));
    LogId(high << 64 | low)
}
