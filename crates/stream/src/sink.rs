//! What a sink is: a place that takes the records of one stream.
//! It must not know what the records mean.

use arrow::record_batch::RecordBatch;

use crate::error::Result;
use crate::place::PartitionId;

/// What becomes of earlier records of a partition that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// They go: the partition is written anew from its first record.
    Fresh,
    /// They stay, and new ones follow them.
    Resume,
}

/// One stream's destination.
pub trait Sink: Send {
    /// Gets ready for a partition.
    fn begin(&mut self, partition: PartitionId, begin: Begin) -> Result<()>;

    /// Takes records of a partition, in order.
    fn write(&mut self, partition: PartitionId, rows: &RecordBatch) -> Result<()>;

    /// Makes what was written visible to readers, as far as that is cheap.
    fn flush(&mut self) -> Result<()>;

    /// Makes all that was written durable before it returns.
    fn sync(&mut self) -> Result<()>;

    /// How many rejects were cut, since this was asked last, because they were larger than the
    /// place takes.
    fn take_cut(&mut self) -> u64 {
        0
    }
}
