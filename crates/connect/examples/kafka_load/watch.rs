//! Waiting for results: when a reader of committed records sees the first, half of them, and all.
//! It must not know who makes them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Topic, consumer, now_s};

/// So long without a result is the end of it.
const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until so many results are there. Fewer after a long silence end the process with an error.
pub fn watch(topic: &Topic, records: u64) -> Value {
    let consumer = consumer(topic);
    let (mut seen, mut bytes, mut first_s, mut half_s) = (0, 0, 0.0, 0.0);
    let mut news = Instant::now();
    while seen < records {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                if seen == 0 {
                    first_s = now_s();
                }
                if seen == records / 2 {
                    half_s = now_s();
                }
                (seen, bytes, news) = (seen + 1, bytes + message.payload_len(), Instant::now());
            }
            // A broker that is away comes back.
            Some(Err(_)) | None => {
                assert!(news.elapsed() < PATIENCE, "{seen} of {records} results after {PATIENCE:?}");
            }
        }
    }
    json!({
        "results": seen, "value_bytes": bytes, "first_s": first_s, "half_s": half_s, "last_s": now_s(),
    })
}
