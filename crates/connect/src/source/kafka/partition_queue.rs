//! A partition's own queue in librdkafka, emptied a batch a call: what is fetched of a partition
//! waits there, and nowhere else.
//! It must not know what is done with records, nor when a queue is emptied.
//!
//! librdkafka fetches until as much waits in a queue as its settings say; what is not taken keeps
//! it from fetching more. A pause of its own would throw away what it has fetched.

use std::ffi::CString;
use std::sync::Arc;
use std::{ptr, slice};

use rdkafka::bindings as native;
use rdkafka::consumer::base_consumer::PartitionQueue as ForwardedQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use tickcast_stream::Offset;

use super::context::Context;
use super::record::{RecordParts, headers_of};
use crate::kafka::Owned;

/// Messages that one call takes, at most.
pub(super) const CHUNK: usize = 256;

/// What a queue holds.
pub(super) enum Queued<'a> {
    /// A record.
    Record(RecordParts<'a>),
    /// What came in place of one.
    Error(RDKafkaErrorCode),
}

/// The queue of one partition.
pub(super) struct PartitionQueue {
    // Before what keeps the consumer alive: fields go in their order.
    queue: Owned<native::rd_kafka_queue_t>,
    /// It has no other way to its messages, and calls `is_filled`.
    _forwarded: ForwardedQueue<Context>,
}

// SAFETY: a queue of the library may be used by any thread.
#[expect(unsafe_code, reason = "librdkafka's call has no safe wrapper")]
unsafe impl Send for PartitionQueue {}

impl PartitionQueue {
    /// From now on what is fetched of a partition waits in this queue; `is_filled` is called by a
    /// thread of the library when it is not empty any more. Without an answer there can be no such
    /// partition.
    #[expect(unsafe_code, reason = "librdkafka's call has no safe wrapper")]
    pub fn take(
        consumer: &Arc<BaseConsumer<Context>>,
        topic: &str,
        partition: i32,
        is_filled: impl Fn() + Send + Sync + 'static,
    ) -> Option<Self> {
        let mut forwarded = consumer.split_partition_queue(topic, partition)?;
        forwarded.set_nonempty_callback(is_filled);

        let name = CString::new(topic).ok()?;
        // SAFETY: the consumer is alive, and `forwarded` keeps it so for longer than the queue. The
        // name is copied.
        let queue = unsafe {
            native::rd_kafka_queue_get_partition(consumer.client().native_ptr(), name.as_ptr(), partition)
        };
        let queue = Owned(queue, native::rd_kafka_queue_destroy);
        (!queue.0.is_null()).then_some(PartitionQueue { queue, _forwarded: forwarded })
    }

    /// Hands out what waits, at most `most` messages and a [`CHUNK`], without waiting. Whether more
    /// may be there.
    #[expect(unsafe_code, reason = "librdkafka's call has no safe wrapper")]
    pub fn drain(&self, most: usize, each: &mut dyn FnMut(Queued<'_>)) -> bool {
        let mut messages = [ptr::null_mut(); CHUNK];
        let wanted = most.min(CHUNK);
        // SAFETY: the queue is alive, and the array has room for as many as are wanted. What was
        // fetched before a seek or for an earlier assignment the call drops itself.
        let count =
            unsafe { native::rd_kafka_consume_batch_queue(self.queue.0, 0, messages.as_mut_ptr(), wanted) };

        let count = usize::try_from(count).unwrap_or(0);
        for &message in &messages[..count] {
            let message = Owned(message, native::rd_kafka_message_destroy);
            // SAFETY: the call has given a whole message to us; it lives until its guard goes.
            each(unsafe { read(message.0) });
        }
        count == wanted
    }

    /// Throws away what waits.
    pub fn discard(&self) {
        while self.drain(CHUNK, &mut |_| {}) {}
    }
}

/// Whether nothing waits in the consumer's own queue, which has all that is no partition's.
#[expect(unsafe_code, reason = "librdkafka's call has no safe wrapper")]
pub(super) fn has_no_events(consumer: &BaseConsumer<Context>) -> bool {
    // SAFETY: the consumer is alive, and its queue is released by its guard.
    unsafe {
        let queue = native::rd_kafka_queue_get_consumer(consumer.client().native_ptr());
        let queue = Owned(queue, native::rd_kafka_queue_destroy);
        queue.0.is_null() || native::rd_kafka_queue_length(queue.0) == 0
    }
}

/// What a message is.
///
/// # Safety
///
/// `message` is a whole message of the library, and what is returned is gone before it.
#[expect(unsafe_code, reason = "librdkafka's call has no safe wrapper")]
unsafe fn read<'a>(message: *mut native::rd_kafka_message_t) -> Queued<'a> {
    // SAFETY: as the caller says. Key, payload and headers are parts of the message; a length is
    // that of its pointer.
    unsafe {
        let parts = &*message;
        if parts.err != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Queued::Error(parts.err.into());
        }

        let bytes = |start: *mut std::ffi::c_void, length| {
            (!start.is_null()).then(|| slice::from_raw_parts(start.cast::<u8>(), length))
        };
        let mut headers = ptr::null_mut();
        native::rd_kafka_message_headers(message, &mut headers);
        let no_time = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        let mut kind = no_time;
        let timestamp_ms = native::rd_kafka_message_timestamp(message, &mut kind);
        Queued::Record(RecordParts {
            offset: Offset(parts.offset),
            timestamp_ms: (kind != no_time && timestamp_ms != -1).then_some(timestamp_ms),
            key: bytes(parts.key, parts.key_len),
            headers: if headers.is_null() { Vec::new() } else { headers_of(headers) },
            payload: bytes(parts.payload, parts.len),
        })
    }
}
