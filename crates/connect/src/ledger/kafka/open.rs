//! Opens both halves of the ledger.
//! It must not read or commit.

use std::sync::Arc;

use tickcast_stream::error::Result;
use tickcast_stream::ledger::{Commit, Recover};

use super::catalog::KeptInLog;
use super::claim::KafkaRecover;
use super::commit::KafkaCommit;
use super::transactions::KafkaLedger;

impl KafkaLedger {
    /// Opens both halves. A transaction that this instance left open before it was restarted is
    /// aborted. Errors: `Retry::Later` while no broker answers.
    pub fn open(&self) -> Result<(Box<dyn Recover>, Box<dyn Commit>)> {
        let kept = KeptInLog::default();
        let writer = KafkaCommit::open(self, Arc::clone(&kept))?;
        let reader = KafkaRecover::new(self, kept, writer.topics().clone());
        Ok((Box::new(reader), Box::new(writer)))
    }
}
