//! A partition's state as bytes and back: one part an operator, and whose it is.
//! It must not know what a part means.
//!
//! Layout: the operators' parts, that of the last operator first; a trailer; the trailer's length
//! (u32, little-endian). The last operator's part is by far the largest, gigabytes perhaps: the
//! others follow it, so that it need not be copied, and a light snapshot shares it with its base.

use serde::{Deserialize, Serialize};

use super::front::Front;
use crate::error::{Kind, OrFail, Result};
use crate::ledger::{Base, ClockLog, OutputPosition, Snapshot};
use crate::log_id::LogId;
use crate::operator::SnapshotWriter;
use crate::place::{Offset, PartitionId};

const LENGTH: usize = size_of::<u32>();

#[derive(Clone, Serialize, Deserialize)]
struct Trailer {
    /// Whose state it is.
    pipeline: String,
    fingerprint: String,
    /// The partition's first record.
    begun: Offset,
    /// What it had put out.
    emitted: OutputPosition,
    /// Where its past ended.
    live: Option<Offset>,
    /// The log that its records are of.
    log: Option<LogId>,
    /// How many records were gone before they were read.
    lost: u64,
    /// What a clock has decided.
    clock: ClockLog,
    /// What is known of the times so far.
    front: Front,
    /// Of the parts, in their order.
    lengths: Vec<usize>,
}

/// A partition's state at a position, not written out yet.
pub struct PendingSnapshot {
    /// Whose state it is.
    pub partition: PartitionId,
    /// The next record to read.
    pub position: Offset,
    pub(super) pipeline: String,
    pub(super) fingerprint: String,
    pub(super) begun: Offset,
    pub(super) emitted: OutputPosition,
    pub(super) live: Option<Offset>,
    pub(super) log: Option<LogId>,
    pub(super) lost: u64,
    pub(super) clock: ClockLog,
    pub(super) front: Front,
    /// In the operators' order.
    pub(super) states: Vec<SnapshotWriter>,
    /// How often the last operator had worked: while it has not, its part is the same.
    pub changes: u64,
}

impl PendingSnapshot {
    /// Writes it out; what the partition has done since cannot be seen.
    pub fn write(self) -> Result<Snapshot> {
        let (partition, position) = (self.partition, self.position);
        Ok(Snapshot::new(partition, position, self.image(None)?))
    }

    /// Writes a light one out: the last operator's part, which is not made, is the beginning of
    /// `base`.
    pub(super) fn write_light(self, base: Base) -> Result<Snapshot> {
        let (partition, position) = (self.partition, self.position);
        Ok(Snapshot::light(partition, position, base, self.image(Some(base))?))
    }

    /// All of its image, or what follows a beginning that is not made.
    fn image(self, beginning: Option<Base>) -> Result<Vec<u8>> {
        let PendingSnapshot { pipeline, fingerprint, begun, emitted, live, log, lost, .. } = self;
        let PendingSnapshot { clock, front, states, .. } = self;
        let lengths: Vec<usize> = beginning.iter().map(|base| base.bytes as usize).collect();
        let parts = states.into_iter().rev().skip(lengths.len()).map(|state| state());
        let trailer =
            Trailer { pipeline, fingerprint, begun, emitted, live, log, lost, clock, front, lengths };
        write(trailer, parts)
    }
}

/// The last operator's part of a whole snapshot, for light ones to share. None: it has none.
pub(super) fn shareable(whole: &Snapshot) -> Option<Base> {
    let part = SnapshotImage::read(&whole.state)?.last_part()?;
    Some(Base::of(whole, part.len()))
}

/// What a clock had decided of the partition of a snapshot, also of a light one. None: it is no
/// image.
pub(crate) fn clock_of(snapshot: &Snapshot) -> Option<ClockLog> {
    trailer_of(&snapshot.state).map(|(_, trailer)| trailer.clock)
}

/// What is before the trailer, and the trailer.
fn trailer_of(bytes: &[u8]) -> Option<(&[u8], Trailer)> {
    let (rest, length) = bytes.split_last_chunk::<LENGTH>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (rest, trailer) = rest.split_at_checked(rest.len().checked_sub(length)?)?;
    Some((rest, postcard::from_bytes(trailer).ok()?))
}

/// The image of parts, the last operator's first.
fn write(mut trailer: Trailer, parts: impl Iterator<Item = Result<Vec<u8>>>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for part in parts {
        let part = part?;
        trailer.lengths.push(part.len());
        if bytes.is_empty() {
            bytes = part;
        } else {
            append(&mut bytes, &part);
        }
    }

    let fail = || "cannot write a partition's state";
    let trailer = postcard::to_stdvec(&trailer).or_fail(Kind::State, fail)?;
    append(&mut bytes, &trailer);
    append(&mut bytes, &u32::try_from(trailer.len()).or_fail(Kind::State, fail)?.to_le_bytes());
    Ok(bytes)
}

/// Appends a little to a lot.
fn append(bytes: &mut Vec<u8>, more: &[u8]) {
    bytes.reserve_exact(more.len());
    bytes.extend_from_slice(more);
}

/// A state that was read.
pub struct SnapshotImage<'a> {
    trailer: Trailer,
    /// The last operator's first.
    parts: Vec<&'a [u8]>,
}

impl<'a> SnapshotImage<'a> {
    /// None: it is no image.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (mut rest, trailer) = trailer_of(bytes)?;
        let mut parts = Vec::new();
        for &length in &trailer.lengths {
            let (part, behind) = rest.split_at_checked(length)?;
            parts.push(part);
            rest = behind;
        }
        rest.is_empty().then_some(SnapshotImage { trailer, parts })
    }

    /// The operators' parts, in the operators' order.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        self.parts.iter().rev().copied()
    }

    /// The last operator's part; none where there is no operator.
    pub fn last_part(&self) -> Option<&'a [u8]> {
        self.parts.first().copied()
    }

    /// Its bytes with another part of the last operator.
    pub fn with_last_part(&self, part: Vec<u8>) -> Result<Vec<u8>> {
        let others = self.parts.iter().skip(1).map(|part| Ok(part.to_vec()));
        let trailer = Trailer { lengths: Vec::new(), ..self.trailer.clone() };
        write(trailer, std::iter::once(Ok(part)).chain(others))
    }

    /// The partition's first record.
    pub fn begun(&self) -> Offset {
        self.trailer.begun
    }

    /// What the partition had put out.
    pub fn emitted(&self) -> OutputPosition {
        self.trailer.emitted
    }

    /// Where the partition's past ended.
    pub fn live(&self) -> Option<Offset> {
        self.trailer.live
    }

    /// The log that the partition's records are of.
    pub fn log(&self) -> Option<LogId> {
        self.trailer.log
    }

    /// How many records were gone before they were read.
    pub fn lost(&self) -> u64 {
        self.trailer.lost
    }

    /// What a clock has decided of the partition.
    pub fn clock(&self) -> &ClockLog {
        &self.trailer.clock
    }

    /// What is known of the times so far.
    pub fn front(&self) -> Front {
        self.trailer.front
    }

    /// The name of the pipeline whose state it is.
    pub fn pipeline(&self) -> &str {
        &self.trailer.pipeline
    }

    /// Of the settings under which it was made.
    pub fn fingerprint(&self) -> &str {
        &self.trailer.fingerprint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frozen() -> PendingSnapshot {
        let state = |part: &'static [u8]| Box::new(move || Ok(part.to_vec())) as SnapshotWriter;
        let states = vec![state(b"first"), state(b""), state(b"the last")];
        let (fingerprint, emitted) = (r#"{"a":1}"#.to_owned(), OutputPosition::default());
        PendingSnapshot {
            partition: PartitionId(3),
            position: Offset(9),
            pipeline: "weather".to_owned(),
            fingerprint,
            begun: Offset(2),
            emitted,
            live: None,
            log: Some(LogId(7)),
            lost: 5,
            clock: ClockLog::default(),
            front: Front::default(),
            states,
            changes: 0,
        }
    }

    fn parts(bytes: &[u8]) -> Option<Vec<&[u8]>> {
        Some(SnapshotImage::read(bytes)?.parts().collect())
    }

    #[test]
    fn parts_come_back_in_their_order_and_the_last_can_be_replaced() {
        let snapshot = frozen().write().unwrap();
        assert_eq!((snapshot.partition, snapshot.position), (PartitionId(3), Offset(9)));
        let image = SnapshotImage::read(&snapshot.state).unwrap();
        assert_eq!(image.parts().collect::<Vec<_>>(), [&b"first"[..], b"", b"the last"]);
        assert_eq!(image.last_part(), Some(&b"the last"[..]));
        assert_eq!((image.pipeline(), image.fingerprint()), ("weather", r#"{"a":1}"#));
        assert_eq!((image.begun(), image.emitted()), (Offset(2), OutputPosition::default()));
        assert_eq!((image.log(), image.lost()), (Some(LogId(7)), 5));
        let other = image.with_last_part(b"".to_vec()).unwrap();
        assert_eq!(parts(&other).unwrap(), [&b"first"[..], b"", b""]);
    }

    #[test]
    fn a_light_image_is_the_rest_of_the_whole_one_and_makes_no_last_part() {
        let whole = frozen().write().unwrap();
        let base = shareable(&whole).unwrap();
        let never: SnapshotWriter = Box::new(|| panic!("the part is made"));
        let mut frozen = PendingSnapshot { position: Offset(12), ..frozen() };
        *frozen.states.last_mut().unwrap() = never;
        let light = frozen.write_light(base).unwrap();
        assert_eq!([b"the last", &light.state[..]].concat(), whole.state);
        assert_eq!((light.position, light.digest, light.base), (Offset(12), whole.digest, Some(base)));
        assert!(parts(&light.state).is_none(), "alone it is no image");
    }

    #[test]
    fn what_is_cut_short_is_no_image() {
        let whole = frozen().write().unwrap().state;
        assert!((0..whole.len()).all(|length| parts(&whole[..length]).is_none()));
        assert!(parts(&[&whole[..], b"\xff"].concat()).is_none());
    }
}
