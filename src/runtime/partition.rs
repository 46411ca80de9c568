//! One partition's dataflow: decode, then the operators in a chain.
//! It must not know threads or time: records in, results out, a pure function of both runners' input.

use arrow::array::{ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, OrFail, Result};
use crate::ingest::Decoder;
use crate::ledger::Snapshot;
use crate::message::{EventTime, Reason, Records, Reject, Stream, reject_schema};
use crate::operator::{Emitter, Operator, Stats};

/// A partition at some position.
pub struct Partition {
    id: i32,
    /// What the rejects call the input.
    topic: String,
    /// Of the parts of the plan that shape the state.
    fingerprint: String,
    decoder: Decoder,
    operators: Vec<Box<dyn Operator>>,
    position: Option<i64>,
    /// Time spent in decoding and in each operator since it was last asked for.
    busy: Vec<(&'static str, Duration)>,
}

/// What a step of a partition made.
#[derive(Debug, Default)]
pub struct Outcome {
    pub results: Vec<(Stream, RecordBatch)>,
    /// The reason of every reject among the results.
    pub rejected: Vec<Reason>,
}

#[derive(Serialize, Deserialize)]
struct Image {
    fingerprint: String,
    states: Vec<Vec<u8>>,
}

impl Partition {
    pub fn new(
        id: i32,
        topic: String,
        fingerprint: String,
        decoder: Decoder,
        operators: Vec<Box<dyn Operator>>,
    ) -> Self {
        let stages = std::iter::once("decode").chain(operators.iter().map(|operator| operator.name()));
        let busy = stages.map(|stage| (stage, Duration::ZERO)).collect();
        Partition { id, topic, fingerprint, decoder, operators, position: None, busy }
    }

    pub fn id(&self) -> i32 {
        self.id
    }

    /// The next record to read; none before the first.
    pub fn position(&self) -> Option<i64> {
        self.position
    }

    /// Takes in the next records.
    pub fn take(&mut self, records: Records) -> Result<Outcome> {
        let next = records.next_offset();
        let from = Instant::now();
        let decoded = self.decoder.decode(records)?;
        self.busy[0].1 += from.elapsed();
        let mut emitted = Emitter { rejects: decoded.rejects, ..Emitter::default() };
        if decoded.rows.num_rows() > 0 {
            self.flow(0, &decoded.rows, &mut emitted)?;
        }
        self.position = next.or(self.position);
        self.outcome(emitted)
    }

    /// The input has ended: every window closes.
    pub fn finish(&mut self) -> Result<Outcome> {
        let mut emitted = Emitter::default();
        for from in 0..self.operators.len() {
            self.operators[from].on_watermark(EventTime::MAX, &mut emitted)?;
            self.pass_on(from, &mut emitted)?;
        }
        self.outcome(emitted)
    }

    fn flow(&mut self, at: usize, batch: &RecordBatch, emitted: &mut Emitter) -> Result<()> {
        let Some(operator) = self.operators.get_mut(at) else { return Ok(()) };
        let from = Instant::now();
        operator.on_batch(batch, emitted)?;
        self.busy[at + 1].1 += from.elapsed();
        self.pass_on(at, emitted)
    }

    /// Gives what the operator at `from` emitted to the one after it.
    fn pass_on(&mut self, from: usize, emitted: &mut Emitter) -> Result<()> {
        for batch in std::mem::take(&mut emitted.next) {
            self.flow(from + 1, &batch, emitted)?;
        }
        Ok(())
    }

    fn outcome(&self, emitted: Emitter) -> Result<Outcome> {
        let mut results = emitted.results;
        let mut rejects = emitted.rejects;
        // Decoding and windows reject apart; in order of offset the stream does not show how records were batched.
        rejects.sort_by_key(|reject| reject.offset);
        if !rejects.is_empty() {
            results.push((Stream::Rejects, self.reject_batch(&rejects)?));
        }
        Ok(Outcome { results, rejected: rejects.iter().map(|reject| reject.reason).collect() })
    }

    fn reject_batch(&self, rejects: &[Reject]) -> Result<RecordBatch> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(BinaryArray::from_iter_values(rejects.iter().map(|reject| &reject.value))),
            Arc::new(StringArray::from_iter_values(rejects.iter().map(|reject| reject.reason.word()))),
            Arc::new(StringArray::from_iter_values(rejects.iter().map(|reject| &reject.detail))),
            Arc::new(StringArray::from_iter_values(rejects.iter().map(|_| &self.topic))),
            Arc::new(Int32Array::from(vec![self.id; rejects.len()])),
            Arc::new(Int64Array::from_iter_values(rejects.iter().map(|reject| reject.offset))),
        ];
        RecordBatch::try_new(reject_schema(), columns).or_fail(Kind::Sink, || "cannot build rejects")
    }

    /// The whole state; none before the first record.
    pub fn snapshot(&self) -> Result<Option<Snapshot>> {
        let Some(position) = self.position else { return Ok(None) };
        let image = Image {
            fingerprint: self.fingerprint.clone(),
            states: self.operators.iter().map(|operator| operator.snapshot()).collect::<Result<_>>()?,
        };
        let state =
            postcard::to_stdvec(&image).or_fail(Kind::State, || "cannot write a partition's state")?;
        Ok(Some(Snapshot { partition: self.id, position, state }))
    }

    /// Goes back to a snapshot. Errors: `State`, when another pipeline wrote it.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let fail = || format!("cannot read the state of partition {}", self.id);
        let image: Image = postcard::from_bytes(&snapshot.state).or_fail(Kind::State, fail)?;
        if image.fingerprint != self.fingerprint {
            return Err(Error::new(
                Kind::State,
                format!(
                    "the state of partition {} belongs to another pipeline file; remove the state directory to begin \
                     anew, or take the change back. It was written for {}, this file says {}",
                    self.id, image.fingerprint, self.fingerprint
                ),
            ));
        }
        if image.states.len() != self.operators.len() {
            return Err(Error::new(Kind::State, fail()));
        }
        for (operator, state) in self.operators.iter_mut().zip(&image.states) {
            operator.restore(state)?;
        }
        self.position = Some(snapshot.position);
        Ok(())
    }

    /// Time spent a stage since the last call.
    pub fn take_busy(&mut self) -> Vec<(&'static str, Duration)> {
        self.busy.iter_mut().map(|(stage, time)| (*stage, std::mem::take(time))).collect()
    }

    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.operators.iter().for_each(|operator| operator.report(&mut stats));
        stats
    }
}
