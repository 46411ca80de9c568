//! What reading a topic costs at least: librdkafka alone, a batch of messages a call, as a C program
//! would; and the same with results written.
//! It must not look into a record.

use std::{ptr, slice};

use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::{Value, json};

use super::client::{Sender, Topic, consumer, now_s};

/// Messages that one call takes, at most.
const BATCH: usize = 1_000;

/// What is written of what is read.
pub struct Copy {
    pub to: String,
    /// How many records are read for each that is written.
    pub every: u64,
    /// The size of one that is written.
    pub bytes: usize,
}

/// Reads so many records.
pub fn read(topic: &Topic, records: u64) -> Value {
    let mut bytes = 0;
    let first_s = for_each(topic, records, |_, value| bytes += value.len());
    json!({ "first_s": first_s, "last_s": now_s(), "value_bytes": bytes })
}

/// Reads so many records, and writes.
pub fn copy(topic: &Topic, records: u64, copy: &Copy) -> Value {
    let sender = Sender::new(&topic.beside(&copy.to), 5);
    let (mut seen, mut out) = (0_u64, Vec::with_capacity(copy.bytes));
    let first_s = for_each(topic, records, |partition, value| {
        seen += 1;
        if seen.is_multiple_of(copy.every) {
            out.clear();
            out.extend(value.iter().cycle().take(copy.bytes));
            sender.send(partition, &value[..value.len().min(7)], &out);
        }
    });
    sender.finish();
    json!({ "first_s": first_s, "last_s": now_s(), "written": seen / copy.every })
}

/// Takes so many records in batches; when the first came.
fn for_each(topic: &Topic, records: u64, mut each: impl FnMut(i32, &[u8])) -> f64 {
    let consumer = consumer(topic);
    let (mut seen, mut first_s) = (0, None);
    while seen < records {
        let count = take(&consumer, &mut each);
        if count > 0 {
            first_s.get_or_insert_with(now_s);
        }
        seen += count;
    }
    first_s.unwrap_or_else(now_s)
}

/// Takes what waits, a batch at most, or waits for it.
#[expect(unsafe_code, reason = "librdkafka's call has no safe wrapper")]
fn take(consumer: &BaseConsumer, each: &mut impl FnMut(i32, &[u8])) -> u64 {
    let mut messages = [ptr::null_mut(); BATCH];
    // SAFETY: the consumer is alive, the array has room for a batch. Each message is whole, read
    // before it is released, and released once.
    unsafe {
        let queue = native::rd_kafka_queue_get_consumer(consumer.client().native_ptr());
        let count = native::rd_kafka_consume_batch_queue(queue, 100, messages.as_mut_ptr(), BATCH);
        native::rd_kafka_queue_destroy(queue);

        let mut taken = 0;
        for &message in &messages[..usize::try_from(count).unwrap_or(0)] {
            let parts = &*message;
            let is_record = parts.err == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
            if is_record && !parts.payload.is_null() {
                each(parts.partition, slice::from_raw_parts(parts.payload.cast::<u8>(), parts.len));
                taken += 1;
            }
            native::rd_kafka_message_destroy(message);
        }
        taken
    }
}
