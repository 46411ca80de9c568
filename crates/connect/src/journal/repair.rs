//! What a crash has left at the end of a journal: where its whole records end, and whether what is
//! behind them may be cut.
//! It must not cut: it only looks.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use tickcast_stream::Offset;
use tickcast_stream::error::{Error, Kind, OrFail, Result};

use super::frame::{Framed, HEAD_BYTES, MARK, NoFrame, read_frame};
use super::segment::{HEADER_BYTES, open, path_of, segments};
use super::tail::DurableEnd;

/// The end of a journal as it was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FoundEnd {
    /// After the last whole record.
    pub end: DurableEnd,
    /// Bytes behind it, of records that never were durable.
    pub torn_bytes: u64,
}

/// Looks at the last segment. None: there is no segment. Errors: `Source`, when a record is damaged
/// that was durable once.
pub(super) fn find_end(dir: &Path) -> Result<Option<FoundEnd>> {
    let Some(&segment) = segments(dir)?.last() else { return Ok(None) };
    open(dir, segment)?;
    let path = path_of(dir, segment);
    let bytes = fs::read(&path).or_fail(Kind::Source, || format!("cannot read {}", path.display()))?;
    let mut rest = Bytes::from(bytes).slice(HEADER_BYTES as usize..);

    let (mut offset, mut at) = (segment, HEADER_BYTES);
    let why = loop {
        match read_frame(&rest) {
            Ok(Framed { record, bytes, .. }) if record.offset == offset => {
                offset = offset.next();
                at += bytes as u64;
                rest = rest.slice(bytes..);
            }
            Ok(_) => break "it is another record",
            Err(NoFrame::Short(_)) => break "it is cut off",
            Err(NoFrame::Damaged(why)) => break why,
        }
    };
    if let Some(synced) = synced_later(&rest).filter(|synced| *synced > offset) {
        let what = format!(
            "record {offset} cannot be read: {} is damaged at byte {at}: {why}. It was stored whole once, as {} of the \
             records after it show; restore the file from a copy",
            path.display(),
            synced.since(offset)
        );
        return Err(Error::new(Kind::Source, what));
    }
    let end = DurableEnd { offset, segment, bytes: at };
    Ok(Some(FoundEnd { end, torn_bytes: rest.len() as u64 }))
}

/// What whole frames that are anywhere in these bytes say was durable before them. Pages of one
/// write that was never durable may have come to the disk in any order, so a later frame alone says
/// nothing.
fn synced_later(bytes: &Bytes) -> Option<Offset> {
    let mut synced = None;
    let mut at = 0;

    while at + HEAD_BYTES <= bytes.len() {
        if bytes[at..at + MARK.len()] != MARK {
            at += 1;
            continue;
        }
        match read_frame(&bytes.slice(at..)) {
            Ok(frame) => {
                synced = synced.max(Some(frame.synced));
                at += frame.bytes;
            }
            Err(_) => at += 1,
        }
    }
    synced
}
