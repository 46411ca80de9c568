//! Reads the records of a journal in order, from segment to segment, up to a durable end.
//! It must not write, nor read behind that end: what is there may still change.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tickcast_stream::Offset;
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::RawRecord;

use super::frame::{Framed, NoFrame, read_frame};
use super::segment::{HEADER_BYTES, open, path_of, segments};
use super::tail::DurableEnd;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Stands before a record of a journal.
pub(super) struct JournalReader {
    dir: PathBuf,
    /// The next record.
    next: Offset,
    segment: Option<OpenSegment>,
}

struct OpenSegment {
    first: Offset,
    file: File,
    /// Where the next frame begins.
    at: u64,
}

impl JournalReader {
    /// One that has opened nothing yet.
    pub fn new(dir: &Path, next: Offset) -> Self {
        JournalReader { dir: dir.to_owned(), next, segment: None }
    }

    /// The next record's number.
    pub fn next(&self) -> Offset {
        self.next
    }

    /// The next records before `end`, at most `most`; none at the end. Errors: `Source`, when
    /// records are gone or damaged.
    pub fn read(&mut self, end: DurableEnd, most: usize) -> Result<Vec<RawRecord>> {
        let mut records = Vec::new();
        while records.is_empty() && self.next < end.offset {
            let Some(segment) = &mut self.segment else {
                self.segment = Some(self.find()?);
                continue;
            };
            let limit = if segment.first == end.segment { end.bytes } else { length(segment, &self.dir)? };
            if segment.at >= limit {
                // The next one begins with the next record.
                self.segment = None;
                if segment_of(&self.dir, self.next)? != self.next {
                    return Err(self.gone());
                }
                continue;
            }

            let chunk = read_chunk(segment, &self.dir, limit)?;
            self.take(&chunk, most, &mut records)?;
        }
        Ok(records)
    }

    /// Takes the whole frames of a chunk.
    fn take(&mut self, chunk: &Bytes, most: usize, records: &mut Vec<RawRecord>) -> Result<()> {
        let mut rest = chunk.clone();
        while records.len() < most && !rest.is_empty() {
            let frame = match read_frame(&rest) {
                Ok(frame) => frame,
                Err(NoFrame::Short(_)) if rest.len() < chunk.len() => return Ok(()),
                Err(NoFrame::Short(_)) => return Err(self.damaged("it is cut off")),
                Err(NoFrame::Damaged(why)) => return Err(self.damaged(why)),
            };

            let Framed { record, bytes, .. } = frame;
            if record.offset < self.next {
                // Before where reading was to begin.
            } else if record.offset == self.next {
                self.next = self.next.next();
                records.push(record);
            } else {
                return Err(self.damaged("it is another record"));
            }
            rest = rest.slice(bytes..);
            if let Some(segment) = &mut self.segment {
                segment.at += bytes as u64;
            }
        }
        Ok(())
    }

    /// Opens the segment that has the next record.
    fn find(&self) -> Result<OpenSegment> {
        let first = segment_of(&self.dir, self.next)?;
        let (_, file) = open(&self.dir, first)?;
        Ok(OpenSegment { first, file, at: HEADER_BYTES })
    }

    fn gone(&self) -> Error {
        let what = format!("record {} of the journal {} is gone", self.next, self.dir.display());
        Error::new(Kind::Source, what)
    }

    fn damaged(&self, why: &str) -> Error {
        let place = self.segment.as_ref().map(|of| (path_of(&self.dir, of.first), of.at));
        let (path, at) = place.unwrap_or_default();
        let what =
            format!("record {} cannot be read: {} is damaged at byte {at}: {why}", self.next, path.display());
        Error::new(Kind::Source, what)
    }
}

/// The first record of the segment that has `offset`, or will have it. Errors: `Source`, when that
/// is gone.
pub(super) fn segment_of(dir: &Path, offset: Offset) -> Result<Offset> {
    let found = segments(dir)?.into_iter().rev().find(|first| *first <= offset);
    found.ok_or_else(|| {
        Error::new(Kind::Source, format!("record {offset} of the journal {} is gone", dir.display()))
    })
}

fn length(segment: &OpenSegment, dir: &Path) -> Result<u64> {
    let found = segment.file.metadata();
    let fail = || format!("cannot read {}", path_of(dir, segment.first).display());
    found.map(|found| found.len()).or_fail(Kind::Source, fail)
}

/// The bytes from the next frame on: a chunk of them, or as many as the frame needs.
fn read_chunk(segment: &mut OpenSegment, dir: &Path, limit: u64) -> Result<Bytes> {
    let left = usize::try_from(limit - segment.at).unwrap_or(usize::MAX);
    let mut wanted = CHUNK_BYTES;

    loop {
        let mut bytes = vec![0; wanted.min(left)];
        let fail = || format!("cannot read {}", path_of(dir, segment.first).display());
        segment.file.seek(SeekFrom::Start(segment.at)).or_fail(Kind::Source, fail)?;
        segment.file.read_exact(&mut bytes).or_fail(Kind::Source, fail)?;
        let bytes = Bytes::from(bytes);
        match read_frame(&bytes) {
            Err(NoFrame::Short(needed)) if wanted < left => wanted = needed.max(wanted + 1),
            _ => return Ok(bytes),
        }
    }
}

/// How many whole frames the bytes begin with, and how many bytes those have: for tests that try
/// foreign bytes.
pub fn journal_frames(bytes: &[u8]) -> (usize, usize) {
    let mut rest = Bytes::copy_from_slice(bytes);
    let (mut frames, mut length) = (0, 0);
    while let Ok(frame) = read_frame(&rest) {
        rest = rest.slice(frame.bytes..);
        frames += 1;
        length += frame.bytes;
    }
    (frames, length)
}
