//! One partition's dataflow: decode, then the operators in a chain.
//! It must not know threads or time: records in, results out, a pure function of both runners' input.

use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;

use super::image::{Difference, PendingSnapshot, SnapshotImage};
use crate::decode::Decode;
use crate::error::{Error, Kind, Result};
use crate::ledger::{OutputPosition, Position, Snapshot};
use crate::message::{EventTime, Reason, Records, Reject, Stream};
use crate::operator::{Operator, OperatorStats, Output};
use crate::record::reject_batch;

/// A partition at some position.
pub struct Partition {
    id: i32,
    /// What the rejects call the input.
    topic: String,
    /// Of the parts of the plan that shape the state.
    fingerprint: String,
    decoder: Box<dyn Decode>,
    operators: Vec<Box<dyn Operator>>,
    /// Its first record.
    begun: Option<i64>,
    position: Option<i64>,
    /// What it has put out since its first record.
    emitted: OutputPosition,
    /// Where its past ends, if it has one: what earlier records make of forecasts and scores is put out nowhere.
    live: Option<i64>,
    /// What is committed already: it is made again in silence, until it is reached.
    committed: Option<Position>,
    /// Time spent in decoding and in each operator since it was last asked for.
    busy: Vec<(&'static str, Duration)>,
}

/// Some of what a partition made, in order.
#[derive(Debug, Default)]
pub struct PartitionOutput {
    pub results: Vec<(Stream, RecordBatch)>,
    /// Rows that the last operator handed on to none.
    pub rows: Vec<RecordBatch>,
    /// The reason and the detail of every reject among the results.
    pub rejected: Vec<(Reason, String)>,
    /// How far the partition has come with it; none while it makes again what is committed.
    pub reached: Option<Position>,
}

impl PartitionOutput {
    /// Takes away what is told of no past.
    fn keep_rejects(&mut self) {
        self.results.retain(|(stream, _)| *stream == Stream::Rejects);
    }

    /// Takes away what is committed already, and counts.
    fn mute(&mut self, emitted: &mut OutputPosition, committed: &OutputPosition) {
        for (stream, rows) in &mut self.results {
            let (before, count) = (emitted.of(*stream), rows.num_rows() as u64);
            emitted.add(*stream, count);
            let muted = committed.of(*stream).saturating_sub(before).min(count) as usize;
            if muted > 0 {
                *rows = rows.slice(muted, rows.num_rows() - muted);
                if *stream == Stream::Rejects {
                    self.rejected.drain(..muted);
                }
            }
        }
        self.results.retain(|(_, rows)| rows.num_rows() > 0);
    }
}

/// Takes outcomes as they come; what it does not take in time holds the partition up.
pub type Deliver<'a> = dyn FnMut(PartitionOutput) -> Result<()> + 'a;

/// Results are delivered when so many rows have come together.
const DELIVER_ROWS: usize = 4096;

/// What operators emitted and is not delivered yet.
struct Pending<'a, 'b> {
    outcome: PartitionOutput,
    rows: usize,
    rejects: Vec<Reject>,
    /// What is complete with every piece but the last.
    position: Option<i64>,
    deliver: &'a mut Deliver<'b>,
}

impl<'a, 'b> Pending<'a, 'b> {
    fn new(rejects: Vec<Reject>, position: Option<i64>, deliver: &'a mut Deliver<'b>) -> Self {
        Pending { outcome: PartitionOutput::default(), rows: 0, rejects, position, deliver }
    }

    /// So many rows have joined the outcome.
    fn grown(&mut self, rows: usize) -> Result<()> {
        self.rows += rows;
        if self.rows < DELIVER_ROWS {
            return Ok(());
        }
        self.rows = 0;
        let outcome = std::mem::take(&mut self.outcome);
        (self.deliver)(PartitionOutput { reached: self.position.map(at), ..outcome })
    }
}

/// A position whose counts are filled in when it is delivered.
fn at(position: i64) -> Position {
    Position { begun: position, position, counts: OutputPosition::default(), live: None }
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

impl Partition {
    pub fn new(
        id: i32,
        topic: String,
        fingerprint: String,
        decoder: Box<dyn Decode>,
        operators: Vec<Box<dyn Operator>>,
    ) -> Self {
        let stages = std::iter::once("decode").chain(operators.iter().map(|operator| operator.name()));
        let busy = stages.map(|stage| (stage, Duration::ZERO)).collect();
        Partition {
            id,
            topic,
            fingerprint,
            decoder,
            operators,
            begun: None,
            position: None,
            emitted: OutputPosition::default(),
            live: None,
            committed: None,
            busy,
        }
    }

    pub fn id(&self) -> i32 {
        self.id
    }

    /// The next record to read; none before the first.
    pub fn position(&self) -> Option<i64> {
        self.position
    }

    /// What it has put out since its first record.
    pub fn emitted(&self) -> OutputPosition {
        self.emitted
    }

    /// It begins at `begun`, with a past that ends at `live`.
    pub fn begin_with_past(&mut self, begun: i64, live: i64) {
        (self.begun, self.position, self.live) = (Some(begun), Some(begun), Some(live));
    }

    /// Its past ends there, as was decided when it began.
    pub fn go_live_at(&mut self, live: Option<i64>) {
        self.live = live;
    }

    /// Where the past ends that it has not read to its end.
    pub fn past_end(&self) -> Option<i64> {
        self.live.filter(|&live| self.position.is_none_or(|position| position < live))
    }

    /// Whether it has a past and has read nothing of it yet: where that ends is known to nobody else.
    pub fn is_fresh(&self) -> bool {
        self.live.is_some() && self.position.is_some() && self.position == self.begun
    }

    /// Goes on from where another state of it had come to: that one's results are its own.
    pub fn continue_from(&mut self, progress: Position) {
        self.emitted = progress.counts;
        self.live = progress.live;
        self.begun = Some(progress.begun);
        self.position = Some(progress.position);
    }

    /// What is committed already is made again in silence.
    pub fn mute_until(&mut self, committed: Position) {
        self.live = committed.live;
        self.committed = Some(committed);
    }

    /// Whether all that it makes now is committed already.
    pub fn is_replaying(&self) -> bool {
        self.committed.is_some_and(|committed| {
            !self.emitted.reach(&committed.counts) || self.position.is_none_or(|at| at < committed.position)
        })
    }

    /// Takes in the next records and delivers what comes of them.
    pub fn take(&mut self, records: Records, deliver: &mut Deliver<'_>) -> Result<()> {
        self.begun = self.begun.or(records.first_offset());
        let Some(live) = self.past_end() else {
            return self.muted(false, deliver, |partition, deliver| partition.take_all(records, deliver));
        };
        let (past, present) = records.split(live);
        for (records, is_past) in [(past, true), (present, false)] {
            if !records.is_empty() {
                self.muted(is_past, deliver, |partition, deliver| partition.take_all(records, deliver))?;
            }
        }
        Ok(())
    }

    /// Runs `work` with what it delivers counted, and without what is committed already; with nothing but rejects of what is
    /// the past.
    fn muted(
        &mut self,
        is_past: bool,
        deliver: &mut Deliver<'_>,
        work: impl FnOnce(&mut Self, &mut Deliver<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut emitted = self.emitted;
        let (begun, committed, live) = (self.begun.unwrap_or_default(), self.committed, self.live);
        let done = work(self, &mut |mut outcome: PartitionOutput| {
            if is_past {
                outcome.keep_rejects();
            }
            let muted = committed.map(|committed| committed.counts).unwrap_or_default();
            outcome.mute(&mut emitted, &muted);
            // A piece of a batch names the position before it: what the batch's records put out is among the counts.
            outcome.reached = outcome.reached.and_then(|Position { position, .. }| {
                let progress = Position { begun, position, counts: emitted, live };
                match committed {
                    Some(committed) if !emitted.reach(&committed.counts) => None,
                    Some(committed) if position < committed.position && emitted == committed.counts => None,
                    Some(committed) => {
                        Some(Position { position: position.max(committed.position), ..progress })
                    }
                    None => Some(progress),
                }
            });
            deliver(outcome)
        });
        self.emitted = emitted;
        done
    }

    fn take_all(&mut self, records: Records, deliver: &mut Deliver<'_>) -> Result<()> {
        let before = self.position.or(self.begun);
        let next = records.next_offset();
        let from = Instant::now();
        let decoded = self.decoder.decode(records)?;
        self.busy[0].1 += from.elapsed();
        let mut pending = Pending::new(decoded.rejects, before, deliver);
        if decoded.rows.num_rows() > 0 {
            self.chain(0, &mut pending).rows(decoded.rows)?;
        }
        self.position = next.or(self.position);
        self.deliver_rest(pending)
    }

    /// The input has ended: every window closes.
    pub fn finish(&mut self, deliver: &mut Deliver<'_>) -> Result<()> {
        self.muted(self.past_end().is_some(), deliver, Partition::close_all)
    }

    fn close_all(&mut self, deliver: &mut Deliver<'_>) -> Result<()> {
        let mut pending = Pending::new(Vec::new(), self.position, deliver);
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
            outcome.results.push((Stream::Rejects, reject_batch(&rejects, &self.topic, self.id)?));
            outcome.rejected = rejects.into_iter().map(|reject| (reject.reason, reject.detail)).collect();
        }
        outcome.reached = self.position.map(at);
        deliver(outcome)
    }

    /// The whole state as of now, to be written out later and elsewhere; none before the first record.
    pub fn freeze(&self) -> Option<PendingSnapshot> {
        let position = self.position?;
        Some(PendingSnapshot {
            partition: self.id,
            position,
            fingerprint: self.fingerprint.clone(),
            begun: self.begun.unwrap_or(position),
            emitted: self.emitted,
            live: self.live,
            states: self.operators.iter().map(|operator| operator.snapshot()).collect(),
        })
    }

    /// The whole state; none before the first record.
    pub fn snapshot(&self) -> Result<Option<Snapshot>> {
        self.freeze().map(PendingSnapshot::write).transpose()
    }

    /// Goes back to a snapshot. `at_end`: nothing after it is committed, so that what the pipeline file says now may begin
    /// here. Errors: `State`, when the pipeline file has changed in a way that the state does not go with.
    pub fn restore(&mut self, snapshot: &Snapshot, at_end: bool) -> Result<()> {
        let image = self.image(snapshot, at_end)?;
        for (operator, part) in self.operators.iter_mut().zip(image.parts()) {
            operator.restore(part)?;
        }
        self.position = Some(snapshot.position);
        self.begun = Some(image.begun());
        self.emitted = image.emitted();
        self.live = image.live();
        Ok(())
    }

    /// The state of its last operator in a snapshot. Errors: as `restore`.
    pub fn last_state<'a>(&self, snapshot: &'a Snapshot) -> Result<&'a [u8]> {
        let part = self.image(snapshot, true)?.last_part();
        part.ok_or_else(|| Error::new(Kind::State, "a partition without operators"))
    }

    /// The snapshot with another state of its last operator; all else, the position too, is as it was. Errors: as `restore`.
    pub fn with_last_state(&self, snapshot: &Snapshot, state: Vec<u8>) -> Result<Snapshot> {
        let Snapshot { partition, position, .. } = *snapshot;
        Ok(Snapshot::new(partition, position, self.image(snapshot, true)?.with_last_part(state)?))
    }

    fn image<'a>(&self, snapshot: &'a Snapshot, at_end: bool) -> Result<SnapshotImage<'a>> {
        let fail = || Error::new(Kind::State, format!("cannot read the state of partition {}", self.id));
        let image = SnapshotImage::read(&snapshot.state).ok_or_else(fail)?;
        let differences = image.differences(&self.fingerprint);
        if !differences.is_empty() {
            self.compare(&differences, at_end)?;
        }
        if image.parts().len() != self.operators.len() {
            return Err(fail());
        }
        Ok(image)
    }

    /// Whether the state can be kept under a pipeline file that differs. Errors: `State`, with what differs.
    fn compare(&self, differences: &[Difference], at_end: bool) -> Result<()> {
        let id = self.id;
        let listed = |differences: &mut dyn Iterator<Item = &Difference>| {
            differences.map(|difference| difference.text.as_str()).collect::<Vec<_>>().join("; ")
        };
        let fixed: Vec<&Difference> =
            differences.iter().filter(|difference| !difference.is_keepable()).collect();
        let what = if !fixed.is_empty() {
            let fixed = listed(&mut fixed.into_iter());
            format!(
                "the state of partition {id} belongs to another pipeline file: {fixed}. Take that back, or learn anew from \
                 the input with `run --reset-state`"
            )
        } else if !at_end {
            let all = listed(&mut differences.iter());
            format!(
                "the pipeline file has changed ({all}), but the run before it did not end in order: what came after the \
                 state of partition {id} has to be made again as it was. Take the change back, run until a signal ends \
                 it, then change the file"
            )
        } else {
            tracing::info!(partition = id, changed = listed(&mut differences.iter()), "the state is kept");
            return Ok(());
        };
        Err(Error::new(Kind::State, what))
    }

    /// Time spent a stage since the last call.
    pub fn take_busy(&mut self) -> Vec<(&'static str, Duration)> {
        self.busy.iter_mut().map(|(stage, time)| (*stage, std::mem::take(time))).collect()
    }

    pub fn stats(&self) -> OperatorStats {
        let mut stats = OperatorStats::default();
        self.operators.iter().for_each(|operator| operator.report(&mut stats));
        stats
    }
}
