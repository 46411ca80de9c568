//! One partition's dataflow: decode, then the operators in a chain.
//! It must not know threads or time: records in, results out, a pure function of both runners' input.

use arrow::array::{ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, OrFail, Result};
use crate::ingest::Decoder;
use crate::ledger::Snapshot;
use crate::message::{EventTime, Reason, Records, Reject, Stream, reject_schema};
use crate::operator::{Operator, Output, Stats};

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

/// Some of what a partition made, in order.
#[derive(Debug, Default)]
pub struct Outcome {
    pub results: Vec<(Stream, RecordBatch)>,
    /// Rows that the last operator handed on to none.
    pub rows: Vec<RecordBatch>,
    /// The reason and the detail of every reject among the results.
    pub rejected: Vec<(Reason, String)>,
}

/// Takes outcomes as they come; what it does not take in time holds the partition up.
pub type Deliver<'a> = dyn FnMut(Outcome) -> Result<()> + 'a;

/// Results are delivered when so many rows have come together.
const DELIVER_ROWS: usize = 4096;

/// What operators emitted and is not delivered yet.
struct Pending<'a, 'b> {
    outcome: Outcome,
    rows: usize,
    rejects: Vec<Reject>,
    deliver: &'a mut Deliver<'b>,
}

impl Pending<'_, '_> {
    /// So many rows have joined the outcome.
    fn grown(&mut self, rows: usize) -> Result<()> {
        self.rows += rows;
        if self.rows < DELIVER_ROWS {
            return Ok(());
        }
        self.rows = 0;
        (self.deliver)(std::mem::take(&mut self.outcome))
    }
}

/// The operators after one of them, as its output.
struct Chain<'a, 'b, 'c> {
    rest: &'a mut [Box<dyn Operator>],
    /// One entry an operator of `rest`.
    busy: &'a mut [(&'static str, Duration)],
    /// Time spent in `rest`.
    below: Duration,
    pending: &'a mut Pending<'b, 'c>,
}

impl Chain<'_, '_, '_> {
    /// Runs the first operator of the rest, and books its time without that of those after it.
    fn run(&mut self, work: impl FnOnce(&mut dyn Operator, &mut dyn Output) -> Result<()>) -> Result<()> {
        let (Some((first, rest)), Some((busy, busy_rest))) =
            (self.rest.split_first_mut(), self.busy.split_first_mut())
        else {
            return Ok(());
        };
        let from = Instant::now();
        let mut after = Chain { rest, busy: busy_rest, below: Duration::ZERO, pending: &mut *self.pending };
        work(first.as_mut(), &mut after)?;
        let (spent, below) = (from.elapsed(), after.below);
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

    fn reject(&mut self, reject: Reject) {
        self.pending.rejects.push(reject);
    }
}

#[derive(Serialize, Deserialize)]
struct Image {
    fingerprint: String,
    states: Vec<Vec<u8>>,
}

impl Image {
    fn bytes(&self) -> Result<Vec<u8>> {
        postcard::to_stdvec(self).or_fail(Kind::State, || "cannot write a partition's state")
    }
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

    /// Takes in the next records and delivers what comes of them.
    pub fn take(&mut self, records: Records, deliver: &mut Deliver<'_>) -> Result<()> {
        let next = records.next_offset();
        let from = Instant::now();
        let decoded = self.decoder.decode(records)?;
        self.busy[0].1 += from.elapsed();
        let mut pending = Pending { outcome: Outcome::default(), rows: 0, rejects: decoded.rejects, deliver };
        if decoded.rows.num_rows() > 0 {
            self.chain(0, &mut pending).rows(decoded.rows)?;
        }
        self.position = next.or(self.position);
        self.deliver_rest(pending)
    }

    /// The input has ended: every window closes.
    pub fn finish(&mut self, deliver: &mut Deliver<'_>) -> Result<()> {
        let mut pending = Pending { outcome: Outcome::default(), rows: 0, rejects: Vec::new(), deliver };
        for from in 0..self.operators.len() {
            self.chain(from, &mut pending).run(|operator, out| operator.on_watermark(EventTime::MAX, out))?;
        }
        self.deliver_rest(pending)
    }

    /// The operators from one on.
    fn chain<'a, 'b, 'c>(&'a mut self, from: usize, pending: &'a mut Pending<'b, 'c>) -> Chain<'a, 'b, 'c> {
        Chain {
            rest: &mut self.operators[from..],
            busy: &mut self.busy[from + 1..],
            below: Duration::ZERO,
            pending,
        }
    }

    fn deliver_rest(&self, pending: Pending<'_, '_>) -> Result<()> {
        let Pending { mut outcome, mut rejects, deliver, .. } = pending;
        // Decoding and windows reject apart; in order of offset the stream does not show how records were batched.
        rejects.sort_by_key(|reject| reject.offset);
        if !rejects.is_empty() {
            outcome.results.push((Stream::Rejects, self.reject_batch(&rejects)?));
            outcome.rejected = rejects.into_iter().map(|reject| (reject.reason, reject.detail)).collect();
        }
        deliver(outcome)
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
        Ok(Some(Snapshot { partition: self.id, position, state: image.bytes()? }))
    }

    /// Goes back to a snapshot. Errors: `State`, when another pipeline wrote it.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let image = self.image(snapshot)?;
        for (operator, state) in self.operators.iter_mut().zip(&image.states) {
            operator.restore(state)?;
        }
        self.position = Some(snapshot.position);
        Ok(())
    }

    /// The state of its last operator in a snapshot. Errors: as `restore`.
    pub fn last_state(&self, snapshot: &Snapshot) -> Result<Vec<u8>> {
        let mut image = self.image(snapshot)?;
        image.states.pop().ok_or_else(|| Error::new(Kind::State, "a partition without operators"))
    }

    /// The snapshot with another state of its last operator; all else, the position too, is as it was. Errors: as `restore`.
    pub fn with_last_state(&self, snapshot: &Snapshot, state: Vec<u8>) -> Result<Snapshot> {
        let mut image = self.image(snapshot)?;
        image.states.pop();
        image.states.push(state);
        Ok(Snapshot { state: image.bytes()?, ..snapshot.clone() })
    }

    fn image(&self, snapshot: &Snapshot) -> Result<Image> {
        let fail = || format!("cannot read the state of partition {}", self.id);
        let image: Image = postcard::from_bytes(&snapshot.state).or_fail(Kind::State, fail)?;
        if image.fingerprint != self.fingerprint {
            return Err(Error::new(
                Kind::State,
                format!(
                    "the state of partition {} belongs to another pipeline file: {}. Take that back, or remove the state \
                     directory to begin anew",
                    self.id,
                    differences(&image.fingerprint, &self.fingerprint)
                ),
            ));
        }
        if image.states.len() != self.operators.len() {
            return Err(Error::new(Kind::State, fail()));
        }
        Ok(image)
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

/// Where two fingerprints, JSON objects, differ: `window.size_us was 1, is 2`.
fn differences(was: &str, is: &str) -> String {
    fn walk(path: &str, was: &Value, is: &Value, found: &mut Vec<String>) {
        match (was, is) {
            (Value::Object(before), Value::Object(after)) => {
                for (key, value) in after {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    walk(&path, before.get(key).unwrap_or(&Value::Null), value, found);
                }
            }
            _ if was != is => found.push(format!("{path} was {was}, is {is}")),
            _ => {}
        }
    }
    let mut found = Vec::new();
    match (serde_json::from_str(was), serde_json::from_str(is)) {
        (Ok(was), Ok(is)) => walk("", &was, &is, &mut found),
        _ => found.push("it cannot be read".to_owned()),
    }
    found.join("; ")
}
