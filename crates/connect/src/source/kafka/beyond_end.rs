//! That a topic ends before the position that it is to be read from.
//! It must not say what to do about it: that depends on where the position was saved.

use std::error::Error;
use std::fmt;

use tickcast_stream::{Offset, PartitionId};

/// A topic's partition ends before a saved position. It is the cause of the error with which
/// [`KafkaSource`](super::consumer::KafkaSource) refuses to start there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionBeyondEnd {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: PartitionId,
    /// The offset after its last record.
    pub end: Offset,
    /// The offset of the record that should come next.
    pub position: Offset,
}

impl fmt::Display for PositionBeyondEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PositionBeyondEnd { topic, partition, end, position } = self;
        write!(
            f,
            "topic {topic} partition {partition} ends at {end}, but the saved position is {position}: was the topic \
             made anew?"
        )
    }
}

impl Error for PositionBeyondEnd {}
