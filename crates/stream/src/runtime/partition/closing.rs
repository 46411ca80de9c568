//! How a partition's windows close though no record says so: at the end of its input, or because a
//! clock has found that nothing comes for now.
//! It must not read a clock: what one has decided is told, and told again when the same records are
//! taken in once more.

use super::Partition;
use crate::error::Result;
use crate::ledger::{Checkpoint, ClockLog};
use crate::message::{EventTime, Records};
use crate::place::Offset;
use crate::runtime::chain::Pending;
use crate::runtime::front::Ahead;
use crate::runtime::muting::Tense;
use crate::runtime::partition_output::Deliver;

impl Partition {
    /// In an earlier life a clock has closed its windows at these positions, in order: where they
    /// are still to come, they close there again.
    pub fn will_close_at(&mut self, closes: &[Offset]) {
        let known = self.clock.last();
        self.closes_ahead = closes.iter().copied().filter(|&close| Some(close) > known).collect();
    }

    /// Goes on as what is committed says: that is made again in silence, and closes where a clock
    /// has decided so.
    pub fn go_on_from(&mut self, entry: &Checkpoint) {
        let committed = entry.progress;
        self.live = committed.live;
        (self.log, self.lost) = (committed.log.or(self.log), committed.lost);
        self.committed = Some(committed);
        self.will_close_at(&entry.closes);
    }

    /// Where its windows were closed though no record said so.
    pub fn clock(&self) -> &ClockLog {
        &self.clock
    }

    /// A clock says that nothing comes for now: every window that is open closes, and of records
    /// that wait for the next one it is decided without that. False: nothing is open, or what is
    /// committed is made again.
    pub fn close_open(&mut self, deliver: &mut Deliver<'_>) -> Result<bool> {
        let is_open = self.stats().windows_open > 0 || self.lookout.held_from().is_some();
        if !is_open || self.is_replaying() {
            return Ok(false);
        }
        self.close_here(deliver)
    }

    /// The input has ended: every window closes, unless it leaves them open.
    pub fn finish(&mut self, deliver: &mut Deliver<'_>) -> Result<()> {
        if !self.leaves_open {
            self.close_here(deliver)?;
            self.tell_unfinished();
        }
        self.strange.extend(self.first.end(self.decoder.as_ref()));
        self.work_off();
        Ok(())
    }

    fn tell_unfinished(&self) {
        let (partition, unfinished) = (self.id.0, self.stats().records_unfinished);
        if unfinished > 0 {
            tracing::warn!(
                partition,
                "the input ended before their windows were full: {unfinished} records are in no window"
            );
        }
    }

    /// Closes its windows where it has come to, if a clock has closed them there in an earlier
    /// life: no record may come that would remind it. False: none has.
    pub fn catch_up(&mut self, deliver: &mut Deliver<'_>) -> Result<bool> {
        let mut has_closed = false;
        while let Some(at) = self.closes_ahead.front().copied().filter(|&at| self.read_to() >= Some(at)) {
            self.close_again(at, deliver)?;
            has_closed = true;
        }
        Ok(has_closed)
    }

    /// Takes in the records before every close that is among them or right behind them. Those after
    /// the last one are left.
    pub(super) fn take_before_closes(
        &mut self,
        records: Records,
        deliver: &mut Deliver<'_>,
    ) -> Result<Records> {
        let mut rest = records;
        while let Some(at) = self.closes_ahead.front().copied().filter(|&at| rest.next_offset() >= Some(at)) {
            let (before, after) = rest.split(at);
            if !before.is_empty() {
                self.take_next(before, deliver)?;
            }
            self.close_again(at, deliver)?;
            rest = after;
        }
        Ok(rest)
    }

    /// Decides of the records that are held: what they wait for will not come.
    pub(super) fn settle(&mut self, deliver: &mut Deliver<'_>) -> Result<()> {
        match self.lookout.take_held() {
            Some(held) => self.take_all(held, Ahead::Nothing, deliver),
            None => Ok(()),
        }
    }

    /// The offset after the last record that it was given.
    fn read_to(&self) -> Option<Offset> {
        self.lookout.held_to().or(self.position)
    }

    /// Closes its windows where it has come to; false, where they were closed already.
    fn close_here(&mut self, deliver: &mut Deliver<'_>) -> Result<bool> {
        let Some(at) = self.read_to().filter(|&at| self.clock.close(at)) else { return Ok(false) };
        self.close(at, deliver)?;
        Ok(true)
    }

    fn close_again(&mut self, at: Offset, deliver: &mut Deliver<'_>) -> Result<()> {
        self.closes_ahead.pop_front();
        self.clock.close(at);
        self.close(at, deliver)
    }

    fn close(&mut self, at: Offset, deliver: &mut Deliver<'_>) -> Result<()> {
        let tense = if self.past_end().is_some() { Tense::Past } else { Tense::Present };
        self.muted(tense, deliver, |partition, deliver| partition.close_all(at, deliver))
    }

    fn close_all(&mut self, at: Offset, deliver: &mut Deliver<'_>) -> Result<()> {
        self.settle(deliver)?;
        // The last record before it may be gone by now.
        self.position = self.position.max(Some(at));
        let mut pending = Pending::new(Vec::new(), self.position, deliver);
        for from in 0..self.operators.len() {
            self.chain(from, &mut pending).run(|operator, out| operator.on_watermark(EventTime::MAX, out))?;
        }
        self.deliver_rest(pending, &Records::Raw(Vec::new()))
    }
}
