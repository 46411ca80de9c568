//! Ledgers: directories and Kafka, and the parts of both.
//! It must not decide what is committed, nor when.

mod audit;
mod digest;
mod dir;
mod files;
mod kafka;
mod keep;
mod lock;
mod manifest;
mod owner;
mod staged;

pub use audit::FilesAudit;
pub use dir::SnapshotDir;
pub use files::FilesLedger;
pub use kafka::{
    KafkaAudit, KafkaLedger, ResultTopic, StateTopic, StateTopicStore, StateWriter, TOPIC_SETTINGS,
};
pub use lock::{Hold, Lock};
pub use owner::{Owner, seen_from};
pub use staged::Staged;
