//! A Kafka message as a raw record, and how many of them one poll brings.
//! It must not look into a payload.

use std::ffi::CStr;
use std::{ptr, slice};

use rdkafka::bindings::rd_kafka_header_get_all;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers, Message};
use tickcast_stream::Offset;
use tickcast_stream::message::{EventTime, RawRecord, RecordHeader};

/// Records of one poll, over all partitions.
pub(super) const BATCH_RECORDS: usize = 1024;
/// Bytes of one poll; the record that passes it is the last.
pub(super) const BATCH_BYTES: usize = 16 << 20;

/// The record that a message carries, with Kafka's own time of it.
pub(super) fn raw_record(message: &BorrowedMessage<'_>) -> RawRecord {
    RawRecord {
        offset: Offset(message.offset()),
        timestamp: message.timestamp().to_millis().map(|ms| EventTime(ms.saturating_mul(1000))),
        key: message.key().map(<[u8]>::to_vec),
        headers: message.headers().map(headers_of).unwrap_or_default(),
        payload: message.payload().map(<[u8]>::to_vec),
        cut_from: None,
    }
}

/// The headers in their order. A name that is no UTF-8 is read with replacement characters: the
/// safe call would end the process.
#[expect(unsafe_code, reason = "librdkafka's safe wrapper panics at a name that is no UTF-8")]
fn headers_of(headers: &BorrowedHeaders) -> Vec<RecordHeader> {
    let native = ptr::from_ref(headers).cast();
    let mut all = Vec::with_capacity(headers.count());
    for index in 0..headers.count() {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `BorrowedHeaders` is a view of librdkafka's own list, which lives as long as the
        // message. What the call gives points into that list, and the name ends with a zero.
        let header = unsafe {
            rd_kafka_header_get_all(native, index, &mut name, &mut value, &mut size);
            if name.is_null() {
                continue;
            }
            RecordHeader {
                name: CStr::from_ptr(name).to_string_lossy().into_owned(),
                value: (!value.is_null()).then(|| slice::from_raw_parts(value.cast(), size).to_vec()),
            }
        };
        all.push(header);
    }
    all
}
