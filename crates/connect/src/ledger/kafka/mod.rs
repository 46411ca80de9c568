//! Kafka as the ledger: results, snapshots and the group's offsets in one transaction.
//! It must not decide what is in an epoch, nor when to try again.

mod audit;
mod catalog;
mod claim;
mod commit;
mod open;
mod owner;
mod reports;
mod signature;
mod state;
mod store;
mod transactions;
mod trouble;

pub use audit::KafkaAudit;
pub use state::{StateTopic, StateWriter, TOPIC_SETTINGS};
pub use store::StateTopicStore;
pub use transactions::{KafkaLedger, ResultTopic};
