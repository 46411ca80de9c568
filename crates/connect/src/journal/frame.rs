//! A record as bytes of a segment: a mark, the body's length, a checksum, and the body.
//! It must not read files.
//!
//! ```text
//! mark 4 | length 4 | CRC-32 of length and body 4 | body: head (postcard), value to the end
//! ```
//! Numbers are little-endian. A body is never empty, so zeros are no frame.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tickcast_stream::Offset;
use tickcast_stream::message::{EventTime, RawRecord, RecordHeader};

/// What a frame begins with, so that the next whole one is found behind a damaged one.
pub(super) const MARK: [u8; 4] = *b"tick";
/// Bytes before the body.
pub(super) const HEAD_BYTES: usize = 12;
/// The longest body: a record with the largest value, key and headers that are taken.
pub(super) const BODY_BYTES_MAX: usize = 4 << 20;

/// A frame that was read.
#[derive(Debug, PartialEq)]
pub(super) struct Framed {
    /// The record, its number its offset.
    pub record: RawRecord,
    /// Records before this one were durable when the frame was written.
    pub synced: Offset,
    /// The frame's bytes.
    pub bytes: usize,
}

/// Why there is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoFrame {
    /// The bytes end before the frame does, which takes so many.
    Short(usize),
    /// The bytes are none, for a person.
    Damaged(&'static str),
}

#[derive(Serialize, Deserialize)]
struct Head<'a> {
    offset: i64,
    synced: i64,
    timestamp_us: Option<i64>,
    #[serde(borrow)]
    key: Option<&'a [u8]>,
    #[serde(borrow)]
    headers: Vec<(&'a str, Option<&'a [u8]>)>,
    cut_from: Option<u64>,
    has_value: bool,
}

/// Appends a record's frame. Errors: when the record is too large for one.
pub(super) fn write_frame(
    buffer: &mut Vec<u8>,
    record: &RawRecord,
    (offset, synced): (Offset, Offset),
) -> Result<(), String> {
    let head = Head {
        offset: offset.0,
        synced: synced.0,
        timestamp_us: record.timestamp.map(|time| time.0),
        key: record.key.as_deref(),
        headers: record.headers.iter().map(|of| (of.name.as_str(), of.value.as_deref())).collect(),
        cut_from: record.cut_from,
        has_value: record.payload.is_some(),
    };

    let start = buffer.len();
    buffer.extend([0; HEAD_BYTES]);
    postcard::to_io(&head, &mut *buffer).map_err(|cause| cause.to_string())?;
    buffer.extend_from_slice(record.payload.as_deref().unwrap_or_default());

    let length = buffer.len() - start - HEAD_BYTES;
    if length > BODY_BYTES_MAX {
        buffer.truncate(start);
        return Err(format!("a record of {length} bytes, {BODY_BYTES_MAX} are allowed"));
    }
    let length = (length as u32).to_le_bytes();
    let checksum = checksum(length, &buffer[start + HEAD_BYTES..]);
    buffer[start..start + 4].copy_from_slice(&MARK);
    buffer[start + 4..start + 8].copy_from_slice(&length);
    buffer[start + 8..start + HEAD_BYTES].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// The frame at the beginning of `bytes`. Key and value share their buffer.
pub(super) fn read_frame(bytes: &Bytes) -> Result<Framed, NoFrame> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Err(NoFrame::Short(HEAD_BYTES));
    };
    let word = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
    if word(0) != MARK {
        return Err(NoFrame::Damaged("it does not begin with a frame's mark"));
    }
    let length = u32::from_le_bytes(word(4)) as usize;
    if length == 0 || length > BODY_BYTES_MAX {
        return Err(NoFrame::Damaged("its length is none that a frame has"));
    }
    let Some(body) = rest.get(..length) else { return Err(NoFrame::Short(HEAD_BYTES + length)) };
    if checksum(word(4), body) != u32::from_le_bytes(word(8)) {
        return Err(NoFrame::Damaged("its checksum does not fit"));
    }

    let parsed = postcard::take_from_bytes::<Head<'_>>(body);
    let (parsed, value) = parsed.map_err(|_| NoFrame::Damaged("its parts cannot be read"))?;
    let header = |(name, value): &(&str, Option<&[u8]>)| RecordHeader {
        name: (*name).to_owned(),
        value: value.map(<[u8]>::to_vec),
    };
    let record = RawRecord {
        offset: Offset(parsed.offset),
        origin: None,
        timestamp: parsed.timestamp_us.map(EventTime),
        key: parsed.key.map(|key| bytes.slice_ref(key)),
        headers: parsed.headers.iter().map(header).collect(),
        payload: parsed.has_value.then(|| bytes.slice_ref(value)),
        cut_from: parsed.cut_from,
        file: None,
    };
    Ok(Framed { record, synced: Offset(parsed.synced), bytes: HEAD_BYTES + length })
}

fn checksum(length: [u8; 4], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&length);
    crc.update(body);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_record() -> impl Strategy<Value = RawRecord> {
        let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
        let header = ("[a-zé]{0,5}", bytes()).prop_map(|(name, value)| RecordHeader { name, value });
        let headers = prop::collection::vec(header, 0..3);
        let numbers = (any::<i64>(), prop::option::of(any::<i64>()), prop::option::of(any::<u64>()));
        (numbers, bytes(), headers, bytes()).prop_map(|((offset, time, cut_from), key, headers, value)| {
            RawRecord {
                offset: Offset(offset),
                origin: None,
                timestamp: time.map(EventTime),
                key: key.map(Bytes::from),
                headers,
                payload: value.map(Bytes::from),
                cut_from,
                file: None,
            }
        })
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written_and_every_flipped_bit_is_seen(
            record in any_record(), synced: i64, at: prop::sample::Index, bit in 0..8,
        ) {
            let mut bytes = Vec::new();
            write_frame(&mut bytes, &record, (record.offset, Offset(synced))).unwrap();
            let whole = Bytes::from(bytes.clone());
            let read = read_frame(&whole).unwrap();
            prop_assert_eq!(&read.record, &record);
            prop_assert_eq!((read.synced, read.bytes), (Offset(synced), whole.len()));

            for length in 0..whole.len() {
                prop_assert!(matches!(read_frame(&whole.slice(..length)), Err(NoFrame::Short(_))));
            }
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            prop_assert!(read_frame(&Bytes::from(bytes)).is_err());
        }
    }

    #[test]
    fn zeros_are_no_frame_and_what_is_too_large_is_not_written() {
        assert!(matches!(read_frame(&Bytes::from(vec![0; 100])), Err(NoFrame::Damaged(_))));
        let record = RawRecord { payload: Some(vec![0; BODY_BYTES_MAX].into()), ..RawRecord::default() };
        let mut bytes = vec![1];
        assert!(write_frame(&mut bytes, &record, Default::default()).is_err());
        assert_eq!(bytes, [1]);
    }
}
