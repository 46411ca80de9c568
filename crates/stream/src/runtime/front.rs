//! Times that run ahead, where a source has no times of its own: one record far ahead of those
//! before it would close everybody's windows, so it waits for the next one to confirm it.
//! It must not know a clock, nor how records came in batches: the records alone decide.
//!
//! A record *runs ahead* of another if it is more than `future` later and would close the window
//! that the other is in. One that runs ahead of the latest before it is a *jump*, unless the step
//! is no longer than the last long one: readings that come every hour take such steps. A jump is
//! confirmed if it does not run ahead of the next record; of those that are late themselves, or
//! broken, nothing can be told. The partition's first record has to be confirmed too.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use serde::{Deserialize, Serialize};

use crate::decode::Decoded;
use crate::error::{Kind, OrFail, Result};
use crate::message::{EventTime, Reason, Reject, column, shown};
use crate::place::Offset;

/// So many records that say nothing a jump waits for the one that confirms it.
const PATIENCE: i64 = 100;

/// What running ahead is.
#[derive(Clone)]
pub struct AheadRule {
    /// So far ahead a time may always be, in microseconds.
    pub future_us: i64,
    /// From which time on a record closes the window that a time is in.
    pub closed_from: Arc<dyn Fn(EventTime) -> EventTime + Send + Sync>,
}

/// What is known of the times so far: part of a partition's state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Front {
    /// The latest time that was taken.
    latest: Option<EventTime>,
    /// The last step ahead that was longer than `future`.
    step_us: i64,
    /// The longest of all steps ahead.
    longest_us: i64,
    /// Whether the first record was not confirmed: the next one is then taken as it is.
    has_lost_first: bool,
}

/// What comes after the records at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ahead {
    /// Others, perhaps.
    More,
    /// Nothing: the input has ended.
    Nothing,
}

/// How the records at hand are to be taken.
#[derive(Default)]
struct Judgement {
    /// Rows that are rejected, and why.
    rejected: Vec<(usize, String)>,
    /// The row that waits; those after it say nothing of it.
    waiting: Option<usize>,
    /// The last row that begins a record while none waits, and what was known before it.
    settled: (usize, Front),
}

impl AheadRule {
    /// Whether a time runs ahead of another.
    fn is_ahead(&self, time: EventTime, of: EventTime) -> bool {
        time.0.saturating_sub(of.0) > self.future_us && time >= (self.closed_from)(of)
    }

    /// Takes in the times of decoded records in their order; those that are not confirmed become
    /// rejects. From the returned offset on the records wait: they are to be decoded again before
    /// those that come next, and `front` is as it was before them. `end` is the offset after the
    /// last record.
    pub(super) fn judge(
        &self,
        front: &mut Front,
        decoded: &mut Decoded,
        end: Offset,
        ahead: Ahead,
    ) -> Result<Option<Offset>> {
        let offsets = decoded.rows[column::OFFSET].as_primitive::<Int64Type>().values().clone();
        let times = decoded.rows[column::TIME].as_primitive::<TimestampMicrosecondType>().values().clone();
        let Judgement { rejected, waiting, settled } = self.judge_rows(front, &times, &offsets, end, ahead);
        // A record waits as a whole, and with it those after the last one of which all is said.
        let waiting = waiting.map(|_| settled.0);
        if waiting.is_some() {
            *front = settled.1;
        }

        if !rejected.is_empty() {
            let mut good = vec![true; times.len()];
            for (row, detail) in rejected {
                good[row] = false;
                let offset = Offset(offsets[row]);
                decoded.rejects.push(Reject { offset, reason: Reason::Future, detail });
            }
            let kept = waiting.unwrap_or(times.len());
            decoded.rows =
                filter_record_batch(&decoded.rows.slice(0, kept), &BooleanArray::from(good).slice(0, kept))
                    .or_fail(Kind::Source, || "cannot keep the good rows of a batch")?;
        } else if let Some(row) = waiting {
            decoded.rows = decoded.rows.slice(0, row);
        }
        let waiting = waiting.map(|row| Offset(offsets[row]));
        decoded.rejects.retain(|reject| waiting.is_none_or(|from| reject.offset < from));
        decoded.blank.retain(|cell| waiting.is_none_or(|from| cell.offset < from));
        decoded.passed.retain(|passed| waiting.is_none_or(|from| passed.offset < from));
        Ok(waiting)
    }

    fn judge_rows(
        &self,
        front: &mut Front,
        times: &[i64],
        offsets: &[i64],
        end: Offset,
        ahead: Ahead,
    ) -> Judgement {
        let mut judgement = Judgement::default();
        for (row, time) in times.iter().map(|us| EventTime(*us)).enumerate() {
            let begins = row == 0 || offsets[row] != offsets[row - 1];
            if let Some(jump) = judgement.waiting {
                let at = EventTime(times[jump]);
                let in_time = offsets[row] - offsets[judgement.settled.0] <= PATIENCE;
                if self.is_late(*front, time) && (in_time || !begins) {
                    continue;
                }
                judgement.waiting = None;
                if in_time && !self.is_ahead(at, time) {
                    self.advance(front, at);
                } else {
                    judgement.rejected.push((jump, front.refuse(at, in_time.then_some(time))));
                }
            }
            if begins {
                judgement.settled = (row, *front);
            }
            if self.is_jump(*front, time) {
                judgement.waiting = Some(row);
            } else {
                self.advance(front, time);
            }
        }

        if let Some(jump) = judgement.waiting {
            let at = EventTime(times[jump]);
            if ahead == Ahead::Nothing && front.knows_step_to(at) {
                self.advance(front, at);
                judgement.waiting = None;
            } else if ahead == Ahead::Nothing || end.0 - 1 - offsets[judgement.settled.0] > PATIENCE {
                judgement.rejected.push((jump, front.refuse(at, None)));
                judgement.waiting = None;
            }
        }
        judgement
    }

    /// Whether the window of a time has closed: that says nothing of whether time has gone on.
    fn is_late(&self, front: Front, time: EventTime) -> bool {
        front.latest.is_some_and(|latest| latest >= (self.closed_from)(time))
    }

    #[inline]
    fn is_jump(&self, front: Front, time: EventTime) -> bool {
        match front.latest {
            None => !front.has_lost_first,
            Some(latest) => {
                let step_us = time.0.saturating_sub(latest.0);
                step_us > front.step_us.max(self.future_us) && self.is_ahead(time, latest)
            }
        }
    }

    /// The time is taken.
    #[inline]
    fn advance(&self, front: &mut Front, time: EventTime) {
        let step_us = front.latest.map_or(0, |latest| time.0.saturating_sub(latest.0));
        if step_us > self.future_us {
            front.step_us = step_us;
        }
        front.longest_us = front.longest_us.max(step_us);
        front.latest = front.latest.max(Some(time));
    }
}

impl Front {
    /// Whether a step to this time is no longer than one before it: at the end of the input nothing
    /// else can confirm it. Where no step is known, it is none to doubt.
    fn knows_step_to(self, time: EventTime) -> bool {
        let step_us = self.latest.map_or(0, |latest| time.0.saturating_sub(latest.0));
        self.longest_us == 0 || step_us <= self.longest_us
    }

    /// A jump to this time is not taken; the words why. `next` is the time of the record after it.
    fn refuse(&mut self, time: EventTime, next: Option<EventTime>) -> String {
        self.has_lost_first |= self.latest.is_none();
        let latest = match self.latest {
            Some(latest) => format!("far after {}, the latest before it", shown(latest)),
            None => "that of the first record".to_owned(),
        };
        let next = match next {
            Some(next) => format!("the record after it, of {}, does not confirm it", shown(next)),
            None => "no record after it confirms it".to_owned(),
        };
        format!("its time, {}, is {latest}, and {next}", shown(time))
    }
}

#[cfg(test)]
mod tests;
