//! The headers of a reject on a topic: its own, then what tickcast says of it.
//! It must not know what is done with them.
//!
//! A reject's own headers come first and keep their names; ours follow, `reason` before all others.
//! So everything from the last header named `reason` on is ours.

use rdkafka::message::Headers;
use tickcast_stream::record::{HeaderRef, RejectRow};

/// What tickcast says of a reject, in headers.
pub(super) fn said_of(row: &RejectRow<'_>) -> Vec<(&'static str, String)> {
    let mut said = vec![
        ("reason", row.reason.to_owned()),
        ("detail", row.detail.to_owned()),
        ("topic", row.topic.to_owned()),
        ("partition", row.partition.to_string()),
        ("offset", row.offset.to_string()),
    ];
    // Kafka counts milliseconds.
    said.extend(row.timestamp.map(|time| ("timestamp", time.0.div_euclid(1000).to_string())));
    said.extend(row.cut.map(|bytes| ("cut", bytes.to_string())));
    said
}

/// A reject's own headers, and those that tickcast has added.
pub fn told_apart<H: Headers>(headers: &H) -> (Vec<HeaderRef<'_>>, Vec<HeaderRef<'_>>) {
    let mut own: Vec<HeaderRef<'_>> = headers.iter().map(|header| (header.key, header.value)).collect();
    let first_of_ours = own.iter().rposition(|(name, _)| *name == "reason");
    let ours = own.split_off(first_of_ours.unwrap_or(own.len()));
    (own, ours)
}
