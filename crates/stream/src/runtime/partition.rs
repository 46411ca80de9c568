//! One partition's dataflow: decode, then the operators in a chain.
//! It must not know threads or time: records in, results out, a pure function of both runners'
//! input.

mod closing;

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::blank_cells::by_column;
use super::chain::{Chain, Pending};
use super::compat::{RestorePoint, check_fingerprint, check_pipeline};
use super::first_records::{FirstRecords, Strange};
use super::front::{Ahead, AheadRule};
use super::image::{PendingSnapshot, SnapshotImage};
use super::lookout::Lookout;
use super::muting::{Muting, Tense};
use super::partition_output::{Deliver, PartitionOutput};
use crate::decode::Decode;
use crate::error::{Error, Kind, Result};
use crate::ledger::{ClockLog, OutputPosition, Position, Snapshot};
use crate::log_id::LogId;
use crate::message::{Records, Stream, system_fields};
use crate::operator::{Operator, OperatorStats, Output as _};
use crate::place::{Offset, PartitionId};
use crate::record::reject_batch;

/// A partition at some position.
pub struct Partition {
    id: PartitionId,
    /// What the rejects call the input.
    topic: String,
    /// The pipeline that it is of.
    pipeline: String,
    /// Of the parts of the plan that shape the state.
    fingerprint: String,
    decoder: Box<dyn Decode>,
    operators: Vec<Box<dyn Operator>>,
    /// Records that wait for the next one are not taken in yet: the position is before them.
    lookout: Lookout,
    /// Its first record.
    begun: Option<Offset>,
    position: Option<Offset>,
    /// What it has put out since its first record.
    emitted: OutputPosition,
    /// Where its past ends, if it has one: what earlier records make of forecasts and scores is put
    /// out nowhere.
    live: Option<Offset>,
    /// The log that its records are of, where the source can tell.
    log: Option<LogId>,
    /// Records that were gone before they were read.
    lost: u64,
    /// Where a clock has closed its windows.
    clock: ClockLog,
    /// Where a clock has closed them after this, in an earlier life.
    closes_ahead: VecDeque<Offset>,
    /// What is committed already: it is made again in silence, until it is reached.
    committed: Option<Position>,
    leaves_open: bool,
    first: FirstRecords,
    /// What is strange about them, and not told yet.
    strange: Vec<Strange>,
    /// Time spent in decoding and in each operator since it was last asked for.
    busy: Vec<(&'static str, Duration)>,
    /// How often the last operator has worked: nothing else changes its state.
    changes: u64,
}

impl Partition {
    /// A partition with no memory. `topic`: what rejects call the input; `pipeline`: whose it is;
    /// `fingerprint`: the settings that shape its state.
    pub fn new(
        id: PartitionId,
        topic: String,
        pipeline: String,
        fingerprint: String,
        decoder: Box<dyn Decode>,
        operators: Vec<Box<dyn Operator>>,
    ) -> Self {
        let stages = std::iter::once("decode").chain(operators.iter().map(|operator| operator.name()));
        let busy = stages.map(|stage| (stage, Duration::ZERO)).collect();

        let first = FirstRecords::new(&decoder.schema(), system_fields().len());
        Partition {
            id,
            topic,
            pipeline,
            fingerprint,
            decoder,
            operators,
            lookout: Lookout::new(None),
            begun: None,
            position: None,
            emitted: OutputPosition::default(),
            live: None,
            log: None,
            lost: 0,
            clock: ClockLog::default(),
            closes_ahead: VecDeque::new(),
            committed: None,
            leaves_open: false,
            first,
            strange: Vec::new(),
            busy,
            changes: 0,
        }
    }

    /// The same partition, whose windows stay open at the end of its input.
    pub fn leaving_open(mut self) -> Self {
        self.leaves_open = true;
        self
    }

    /// Records whose times run ahead wait for one that confirms them.
    pub fn with_ahead_rule(mut self, rule: Option<AheadRule>) -> Self {
        self.lookout = Lookout::new(rule);
        self
    }

    /// Its number.
    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// The next record to read; none before the first.
    pub fn position(&self) -> Option<Offset> {
        self.position
    }

    /// What it has put out since its first record.
    pub fn emitted(&self) -> OutputPosition {
        self.emitted
    }

    /// Its records are of this log from now on.
    pub fn read_from(&mut self, log: Option<LogId>) {
        self.log = log.or(self.log);
    }

    /// It begins at `begun`, with a past that ends at `live`.
    pub fn begin_with_past(&mut self, begun: Offset, live: Offset) {
        (self.begun, self.position, self.live) = (Some(begun), Some(begun), Some(live));
    }

    /// Its past ends there, as was decided when it began.
    pub fn go_live_at(&mut self, live: Option<Offset>) {
        self.live = live;
    }

    /// Where the past ends that it has not read to its end.
    pub fn past_end(&self) -> Option<Offset> {
        self.live.filter(|&live| self.position.is_none_or(|position| position < live))
    }

    /// Whether it has a past and has read nothing of it yet: where that ends is known to nobody
    /// else.
    pub fn is_fresh(&self) -> bool {
        self.live.is_some() && self.position.is_some() && self.position == self.begun
    }

    /// Goes on from where another state of it had come to: that one's results are its own.
    pub fn continue_from(&mut self, progress: Position) {
        self.emitted = progress.counts;
        self.live = progress.live;
        (self.log, self.lost) = (progress.log.or(self.log), progress.lost);
        self.begun = Some(progress.begun);
        self.position = Some(progress.position);
    }

    /// Whether all that it makes now is committed already.
    pub fn is_replaying(&self) -> bool {
        self.committed.is_some_and(|committed| {
            !self.emitted.reach(&committed.counts) || self.position.is_none_or(|at| at < committed.position)
        })
    }

    /// How many of the next records are read again: what they make is committed already.
    pub fn replayed(&self, records: &Records) -> usize {
        self.committed.map_or(0, |committed| records.before(committed.position))
    }

    /// Takes in the next records and delivers what comes of them.
    pub fn take(&mut self, records: Records, deliver: &mut Deliver<'_>) -> Result<()> {
        self.begun = self.begun.or(records.first_offset());
        let rest = self.take_before_closes(records, deliver)?;
        if rest.is_empty() { Ok(()) } else { self.take_next(rest, deliver) }
    }

    /// Takes in records between two closes by a clock.
    fn take_next(&mut self, records: Records, deliver: &mut Deliver<'_>) -> Result<()> {
        let records = self.lookout.join(records)?;
        let Some(live) = self.past_end() else { return self.take_as(Tense::Present, records, deliver) };

        let (past, present) = records.split(live);
        for (records, tense) in [(past, Tense::Past), (present, Tense::Present)] {
            if !records.is_empty() {
                self.take_as(tense, records, deliver)?;
            }
        }
        Ok(())
    }

    fn take_as(&mut self, tense: Tense, records: Records, deliver: &mut Deliver<'_>) -> Result<()> {
        self.muted(tense, deliver, |partition, deliver| partition.take_all(records, Ahead::More, deliver))
    }

    /// Records were gone before they were read: it goes on after them, and says so in its position.
    pub fn lose(&mut self, gone: &Range<Offset>, deliver: &mut Deliver<'_>) -> Result<()> {
        self.begun = self.begun.or(Some(gone.start));
        if self.lookout.held_from().is_some() {
            self.muted(Tense::Present, deliver, Partition::settle)?;
        }
        self.position = self.position.max(Some(gone.end));
        self.lost += u64::try_from(gone.end.since(gone.start)).unwrap_or(0);
        self.catch_up(deliver)?;

        let reached = self.position.map(Position::begin);
        let tell = |_: &mut Self, deliver: &mut Deliver<'_>| {
            deliver(PartitionOutput { reached, ..PartitionOutput::default() })
        };
        self.muted(Tense::Present, deliver, tell)
    }

    /// Runs `work` with what it delivers counted, and without what is committed already; with
    /// nothing but rejects of what is the past.
    fn muted(
        &mut self,
        tense: Tense,
        deliver: &mut Deliver<'_>,
        work: impl FnOnce(&mut Self, &mut Deliver<'_>) -> Result<()>,
    ) -> Result<()> {
        let begun = self.begun.unwrap_or(Offset(0));
        let (live, log, lost, closed) = (self.live, self.log, self.lost, self.clock.last());
        let base = Position { live, log, lost, closed, ..Position::begin(begun) };
        let mut muting = Muting { base, committed: self.committed, tense, emitted: self.emitted };

        let done = work(self, &mut |outcome| deliver(muting.apply(outcome)));
        self.emitted = muting.emitted;
        done
    }

    fn take_all(&mut self, records: Records, ahead: Ahead, deliver: &mut Deliver<'_>) -> Result<()> {
        let before = self.position.or(self.begun);
        let from = Instant::now();
        let mut decoded = self.decoder.decode(&records)?;
        let records = self.lookout.hold_back(records, &mut decoded, ahead)?;
        let next = self.lookout.held_from().or(records.next_offset());
        self.busy[0].1 += from.elapsed();
        self.first.tell_time(self.id, self.decoder.as_ref());
        self.strange.extend(self.first.look(&records, &decoded, self.decoder.as_ref()));
        let mut pending = Pending::new(decoded.rejects, before, deliver);
        pending.outcome.blank = by_column(decoded.blank, decoded.rows.schema_ref());
        pending.outcome.passed = decoded.passed.iter().map(|passed| passed.reason).collect();
        if decoded.rows.num_rows() > 0 {
            self.chain(0, &mut pending).rows(decoded.rows)?;
        }
        self.position = next.or(self.position);

        self.deliver_rest(pending, &records)
    }

    /// The operators from one on.
    fn chain<'a, 'b, 'c>(&'a mut self, from: usize, pending: &'a mut Pending<'b, 'c>) -> Chain<'a, 'b, 'c> {
        Chain {
            rest: &mut self.operators[from..],
            busy: &mut self.busy[from + 1..],
            below: Duration::ZERO,
            changes: &mut self.changes,
            pending,
        }
    }

    /// Delivers what is pending; `records` are those that it came of.
    fn deliver_rest(&self, pending: Pending<'_, '_>, records: &Records) -> Result<()> {
        let Pending { mut outcome, mut rejects, deliver, .. } = pending;
        // Decoding and windows reject apart; in order of offset the stream does not show how
        // records were batched.
        rejects.sort_by_key(|reject| reject.offset);
        if !rejects.is_empty() {
            outcome.results.push((Stream::Rejects, reject_batch(&rejects, records, &self.topic, self.id)?));
            outcome.rejected = rejects.into_iter().map(|reject| (reject.reason, reject.detail)).collect();
        }
        outcome.reached = self.position.map(Position::begin);
        deliver(outcome)
    }

    /// Does what its operators have put off, for whoever has time now. False: there was nothing.
    pub fn work_off(&mut self) -> bool {
        let mut has_worked = false;
        for (operator, (_, busy)) in self.operators.iter_mut().zip(&mut self.busy[1..]) {
            let from = Instant::now();
            if operator.work_off() {
                *busy += from.elapsed();
                has_worked = true;
            }
        }
        has_worked
    }

    /// The whole state as of now, to be written out later and elsewhere; none before the first
    /// record.
    pub fn freeze(&mut self) -> Option<PendingSnapshot> {
        let position = self.position?;

        Some(PendingSnapshot {
            partition: self.id,
            position,
            pipeline: self.pipeline.clone(),
            fingerprint: self.fingerprint.clone(),
            begun: self.begun.unwrap_or(position),
            emitted: self.emitted,
            live: self.live,
            log: self.log,
            lost: self.lost,
            clock: self.clock.clone(),
            front: self.lookout.front(),
            states: self.operators.iter_mut().map(|operator| operator.snapshot()).collect(),
            changes: self.changes,
        })
    }

    /// The whole state; none before the first record.
    pub fn snapshot(&mut self) -> Result<Option<Snapshot>> {
        self.freeze().map(PendingSnapshot::write).transpose()
    }

    /// Goes back to a snapshot. Errors: `State`, when it is another pipeline's, or when the
    /// pipeline file has changed in a way that the state does not go with.
    pub fn restore(&mut self, snapshot: &Snapshot, point: RestorePoint) -> Result<()> {
        let image = self.image(snapshot, point)?;
        for (operator, part) in self.operators.iter_mut().zip(image.parts()) {
            operator.restore(part)?;
        }
        self.changes += 1;
        self.position = Some(snapshot.position);
        self.begun = Some(image.begun());
        self.emitted = image.emitted();
        self.live = image.live();
        (self.log, self.lost) = (image.log(), image.lost());
        self.clock = image.clock().clone();
        self.lookout.restore(image.front());

        Ok(())
    }

    /// The state of its last operator in a snapshot. Errors: as `restore`.
    pub fn last_state<'a>(&self, snapshot: &'a Snapshot) -> Result<&'a [u8]> {
        let part = self.image(snapshot, RestorePoint::AtEnd)?.last_part();
        part.ok_or_else(|| Error::new(Kind::State, "a partition without operators"))
    }

    /// The snapshot with another state of its last operator; all else, the position too, is as it
    /// was. Errors: as `restore`.
    pub fn with_last_state(&self, snapshot: &Snapshot, state: Vec<u8>) -> Result<Snapshot> {
        let Snapshot { partition, position, .. } = *snapshot;
        Ok(Snapshot::new(
            partition,
            position,
            self.image(snapshot, RestorePoint::AtEnd)?.with_last_part(state)?,
        ))
    }

    fn image<'a>(&self, snapshot: &'a Snapshot, point: RestorePoint) -> Result<SnapshotImage<'a>> {
        let fail = || Error::new(Kind::State, format!("cannot read the state of partition {}", self.id));
        let image = SnapshotImage::read(&snapshot.state).ok_or_else(fail)?;
        check_pipeline(self.id, image.pipeline(), &self.pipeline)?;
        check_fingerprint(self.id, image.fingerprint(), &self.fingerprint, point)?;
        if image.parts().len() != self.operators.len() {
            return Err(fail());
        }
        Ok(image)
    }

    /// What is strange about its first records, since this was asked last.
    pub fn take_strange(&mut self) -> Vec<Strange> {
        std::mem::take(&mut self.strange)
    }

    /// Time spent a stage since the last call.
    pub fn take_busy(&mut self) -> Vec<(&'static str, Duration)> {
        self.busy.iter_mut().map(|(stage, time)| (*stage, std::mem::take(time))).collect()
    }

    /// What its operators say of themselves.
    pub fn stats(&self) -> OperatorStats {
        let mut stats = OperatorStats::default();
        self.operators.iter().for_each(|operator| operator.report(&mut stats));
        stats
    }
}
