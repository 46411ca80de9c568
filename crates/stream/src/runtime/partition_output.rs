//! What a partition delivers, piece by piece.
//! It must not know how it was made, nor where it goes.

use arrow::record_batch::RecordBatch;

use super::blank_cells::BlankColumn;
use crate::error::Result;
use crate::ledger::Position;
use crate::message::{Reason, Stream};
use crate::passed_over::PassReason;

/// Some of what a partition made, in order.
#[derive(Debug, Default)]
pub struct PartitionOutput {
    /// Records for the sinks, in order.
    pub results: Vec<(Stream, RecordBatch)>,
    /// Rows that the last operator handed on to none.
    pub rows: Vec<RecordBatch>,
    /// The reason and the detail of every reject among the results.
    pub rejected: Vec<(Reason, String)>,
    /// Cells that are null because they cannot be read.
    pub blank: Vec<BlankColumn>,
    /// Why records made no row and are no reject, one a record.
    pub passed: Vec<PassReason>,
    /// How far the partition has come with it; none while it makes again what is committed.
    pub reached: Option<Position>,
}

/// Takes outcomes as they come; what it does not take in time holds the partition up.
pub type Deliver<'a> = dyn FnMut(PartitionOutput) -> Result<()> + 'a;
