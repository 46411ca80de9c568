//! A Kafka topic as a source: followed by a member of a consumer group, or read once as a history.
//! It must not decode.

mod assignment;
mod beyond_end;
mod consumer;
mod context;
mod history;
mod identity;
mod instance_name;
mod joining;
mod kind;
mod leaving;
mod log_ends;
mod losses;
mod partition_queue;
mod queues;
mod record;
mod settings;
mod shut_out;
mod spec;

pub use beyond_end::PositionBeyondEnd;
pub use consumer::KafkaSource;
pub use history::KafkaHistory;
pub use spec::{KafkaSourceSpec, OnLoss, StartFrom};
