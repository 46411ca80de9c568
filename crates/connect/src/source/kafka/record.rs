//! Kafka messages as raw records, the bytes of a batch in one buffer, and how much a batch may be.
//! It must not look into a payload.

use std::ffi::CStr;
use std::ops::Range;
use std::{ptr, slice};

use bytes::Bytes;
use rdkafka::bindings::{rd_kafka_header_get_all, rd_kafka_headers_t};
use rdkafka::message::{BorrowedMessage, Message};
use tickcast_stream::Offset;
use tickcast_stream::message::{EventTime, RawRecord, RecordHeader};

/// Records of one poll, over all partitions.
pub(super) const BATCH_RECORDS: usize = 1024;
/// Bytes of one poll; what comes with the record that passes it is the last.
pub(super) const BATCH_BYTES: usize = 16 << 20;

/// What a record is made of.
pub(super) struct RecordParts<'a> {
    pub offset: Offset,
    /// Kafka's own time of it.
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub headers: Vec<RecordHeader>,
    pub payload: Option<&'a [u8]>,
}

impl<'a> RecordParts<'a> {
    /// The parts of a message that librdkafka's safe wrapper has.
    pub fn of(message: &'a BorrowedMessage<'_>) -> Self {
        // SAFETY: `BorrowedHeaders` is a view of librdkafka's own list, which lives as long as the
        // message.
        #[expect(unsafe_code, reason = "librdkafka's safe wrapper panics at a name that is no UTF-8")]
        let headers = message.headers().map(|list| unsafe { headers_of(ptr::from_ref(list).cast()) });
        RecordParts {
            offset: Offset(message.offset()),
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key(),
            headers: headers.unwrap_or_default(),
            payload: message.payload(),
        }
    }
}

/// The headers in their order. A name that is no UTF-8 is read with replacement characters: the
/// safe call would end the process.
///
/// # Safety
///
/// `list` is a list of the library that lives until this returns.
#[expect(unsafe_code, reason = "librdkafka's safe wrapper panics at a name that is no UTF-8")]
pub(super) unsafe fn headers_of(list: *const rd_kafka_headers_t) -> Vec<RecordHeader> {
    let mut all = Vec::new();
    loop {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the list lives, as the caller says. What the call gives points into it, and the
        // name ends with a zero; behind the last header it gives nothing.
        let header = unsafe {
            rd_kafka_header_get_all(list, all.len(), &mut name, &mut value, &mut size);
            if name.is_null() {
                return all;
            }
            RecordHeader {
                name: CStr::from_ptr(name).to_string_lossy().into_owned(),
                value: (!value.is_null()).then(|| slice::from_raw_parts(value.cast(), size).to_vec()),
            }
        };
        all.push(header);
    }
}

/// Where a record's bytes are in the buffer of its batch.
struct Place {
    key: Option<Range<usize>>,
    payload: Option<Range<usize>>,
}

/// Records that are read together. Their bytes lie behind each other in one buffer, so that a
/// record costs no allocation of its own.
#[derive(Default)]
pub(super) struct RecordGatherer {
    buffer: Vec<u8>,
    records: Vec<RawRecord>,
    places: Vec<Place>,
}

impl RecordGatherer {
    /// Takes a copy of a record.
    pub fn push(&mut self, parts: RecordParts<'_>) {
        let RecordParts { offset, timestamp_ms, key, headers, payload } = parts;
        let place = Place { key: self.copy(key), payload: self.copy(payload) };
        self.places.push(place);
        let timestamp = timestamp_ms.map(|ms| EventTime(ms.saturating_mul(1000)));
        self.records.push(RawRecord { offset, timestamp, headers, ..RawRecord::default() });
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// How many bytes they have.
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The records in the order in which they came.
    pub fn finish(self) -> Vec<RawRecord> {
        let RecordGatherer { buffer, mut records, places } = self;
        let buffer = Bytes::from(buffer);
        for (record, place) in records.iter_mut().zip(places) {
            record.key = place.key.map(|range| buffer.slice(range));
            record.payload = place.payload.map(|range| buffer.slice(range));
        }
        records
    }

    fn copy(&mut self, bytes: Option<&[u8]>) -> Option<Range<usize>> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes?);
        Some(start..self.buffer.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_their_own_bytes_of_the_common_buffer_and_nothing_is_not_empty() {
        let mut gatherer = RecordGatherer::default();
        let both: [Option<&[u8]>; 4] = [Some(b"key"), None, Some(b""), Some(b"\xff")];
        for (at, key) in both.into_iter().enumerate() {
            let payload = both[(at + 1) % both.len()];
            let (offset, timestamp_ms) = (Offset(at as i64), Some(at as i64));
            gatherer.push(RecordParts { offset, timestamp_ms, key, headers: Vec::new(), payload });
        }

        assert_eq!((gatherer.len(), gatherer.bytes()), (4, 8));
        for (at, record) in gatherer.finish().into_iter().enumerate() {
            assert_eq!(
                (record.offset, record.timestamp),
                (Offset(at as i64), Some(EventTime(at as i64 * 1000)))
            );
            assert_eq!(record.key.as_deref(), both[at]);
            assert_eq!(record.payload.as_deref(), both[(at + 1) % both.len()]);
        }
    }
}
