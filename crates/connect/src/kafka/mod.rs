//! What every Kafka client of tickcast needs: its configuration, topics, groups, and how a
//! partition is read to its end.
//! It must not know what records mean.

mod certificates;
mod client;
mod cluster;
mod config;
mod group;
mod handshake;
mod limits;
mod login;
mod native;
mod oidc;
mod read;
mod spec;
mod topic_id;
mod topic_watch;
mod topics;
mod transacting;
mod trouble;

pub use certificates::{CertificateFiles, CertificateNews};
pub use client::{METADATA_TIMEOUT, check_properties, create};
pub use cluster::{Cluster, away};
pub use config::client_config;
pub use group::{Group, Life, idle_member, member_count, member_id};
pub use limits::{RecordLimits, record_limits};
pub use login::{Login, NativeClient};
pub(crate) use native::Owned;
pub use read::{
    Polled, Purpose, ReadingConsumer, SILENCE, Silence, TopicPartition, Visible, log_range, read_to_end,
    reading_consumer,
};
pub use spec::{KafkaClientSpec, KafkaTopicSpec};
pub use topic_id::{TopicIds, topic_ids};
pub use topic_watch::{TopicNews, TopicWatch};
pub use topics::{ensure_topic, grow_topic, mismatch, no_topic, partition_count, partitions_of};
pub use transacting::{
    CALL, IDLE_MS, STEP, TRANSACTION_TIMEOUT_MS, abort, hand_over, is_queue_full, while_it_helps,
};
pub use trouble::{BrokerLog, BrokerTrouble};
