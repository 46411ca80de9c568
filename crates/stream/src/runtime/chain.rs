//! The operators of a partition as a chain: each one's rows are the next one's batch.
//! It must not know records, positions' meaning or what is committed: it only gathers what comes
//! out, in pieces.

use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;

use super::partition_output::{Deliver, PartitionOutput};
use crate::error::Result;
use crate::ledger::Position;
use crate::message::{Reject, Stream};
use crate::operator::{Operator, Output};
use crate::place::Offset;

/// Results are delivered when so many rows have come together.
const DELIVER_ROWS: usize = 4096;
/// Fewer are not delivered before long work: handing them on costs as much as they would wait.
const DELIVER_EARLY_ROWS: usize = 32;

/// What operators emitted and is not delivered yet.
pub(super) struct Pending<'a, 'b> {
    pub outcome: PartitionOutput,
    rows: usize,
    pub rejects: Vec<Reject>,
    /// What is complete with every piece but the last.
    position: Option<Offset>,
    /// Time spent in `deliver`.
    delivering: Duration,
    pub deliver: &'a mut Deliver<'b>,
}

impl<'a, 'b> Pending<'a, 'b> {
    /// Nothing yet, but for what decoding rejected.
    pub fn new(rejects: Vec<Reject>, position: Option<Offset>, deliver: &'a mut Deliver<'b>) -> Self {
        Pending {
            outcome: PartitionOutput::default(),
            rows: 0,
            rejects,
            position,
            delivering: Duration::ZERO,
            deliver,
        }
    }

    /// So many rows have joined the outcome.
    fn grown(&mut self, rows: usize) -> Result<()> {
        self.rows += rows;
        self.deliver_from(DELIVER_ROWS)
    }

    /// Delivers the outcome, if it has come to so many rows.
    fn deliver_from(&mut self, rows: usize) -> Result<()> {
        if self.rows < rows {
            return Ok(());
        }
        self.rows = 0;
        let outcome = std::mem::take(&mut self.outcome);
        let from = Instant::now();
        (self.deliver)(PartitionOutput { reached: self.position.map(Position::begin), ..outcome })?;
        self.delivering += from.elapsed();
        Ok(())
    }
}

/// The operators after one of them, as its output.
pub(super) struct Chain<'a, 'b, 'c> {
    pub rest: &'a mut [Box<dyn Operator>],
    /// One entry an operator of `rest`.
    pub busy: &'a mut [(&'static str, Duration)],
    /// Time spent in `rest`.
    pub below: Duration,
    /// How often the last of them has worked.
    pub changes: &'a mut u64,
    pub pending: &'a mut Pending<'b, 'c>,
}

impl Chain<'_, '_, '_> {
    /// Runs the first operator of the rest, and books its time without that of those after it, and
    /// without what whoever takes the results lets it wait.
    pub fn run(&mut self, work: impl FnOnce(&mut dyn Operator, &mut dyn Output) -> Result<()>) -> Result<()> {
        let (Some((first, rest)), Some((busy, busy_rest))) =
            (self.rest.split_first_mut(), self.busy.split_first_mut())
        else {
            return Ok(());
        };
        let (from, waited) = (Instant::now(), self.pending.delivering);
        if rest.is_empty() {
            *self.changes += 1;
        }
        let (below, changes, pending) = (Duration::ZERO, &mut *self.changes, &mut *self.pending);
        let mut after = Chain { rest, busy: busy_rest, below, changes, pending };
        work(first.as_mut(), &mut after)?;
        let below = after.below;
        let spent = from.elapsed().saturating_sub(self.pending.delivering - waited);
        busy.1 += spent.saturating_sub(below);
        self.below += spent;
        Ok(())
    }
}

impl Output for Chain<'_, '_, '_> {
    fn rows(&mut self, rows: RecordBatch) -> Result<()> {
        if self.rest.is_empty() {
            let count = rows.num_rows();
            self.pending.outcome.rows.push(rows);
            return self.pending.grown(count);
        }
        self.run(|operator, out| operator.on_batch(&rows, out))
    }

    fn results(&mut self, stream: Stream, records: RecordBatch) -> Result<()> {
        let count = records.num_rows();
        self.pending.outcome.results.push((stream, records));
        self.pending.grown(count)
    }

    fn send_on(&mut self) -> Result<()> {
        self.pending.deliver_from(DELIVER_EARLY_ROWS)
    }

    fn reject(&mut self, reject: Reject) {
        self.pending.rejects.push(reject);
    }
}
