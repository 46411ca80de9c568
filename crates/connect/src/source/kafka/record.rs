//! A Kafka message as a raw record, and how many of them one poll brings.
//! It must not look into a payload.

use rdkafka::message::{BorrowedMessage, Message};
use tickcast_stream::Offset;
use tickcast_stream::message::{EventTime, RawRecord};

/// Records of one poll, over all partitions.
pub(super) const BATCH_RECORDS: usize = 1024;
/// Bytes of one poll; the record that passes it is the last.
pub(super) const BATCH_BYTES: usize = 16 << 20;

/// The record that a message carries, with Kafka's own time of it.
pub(super) fn raw_record(message: &BorrowedMessage<'_>) -> RawRecord {
    let timestamp = message.timestamp().to_millis().map(|ms| EventTime(ms.saturating_mul(1000)));
    let payload = message.payload().map(<[u8]>::to_vec);
    RawRecord { offset: Offset(message.offset()), timestamp, payload }
}
