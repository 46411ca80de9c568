//! Which records a window of a series holds, and when it ends.
//! It must not know Arrow, nor more than one series: times in, verdicts out.

use serde::{Deserialize, Serialize};
use tickcast_stream::message::EventTime;

/// Which windows the series have.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// Between two silences.
    Session(SessionRule),
    /// Of so many records, at least 1.
    Count(u64),
}

/// When a session ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionRule {
    /// A silence so long ends it, in microseconds, > 0.
    pub gap_us: i64,
    /// It takes records of at most this time, in microseconds, >= `gap_us`.
    pub max_us: i64,
}

/// The records that an open window has so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    /// The earliest time.
    pub first: EventTime,
    /// The latest time.
    pub last: EventTime,
    /// How many there are.
    pub records: u64,
}

impl Rule {
    /// When a window ends that has these records. One of so many ends with the latest of them.
    pub fn end_of(&self, span: &Span) -> EventTime {
        match self {
            Rule::Session(rule) => rule.end_of(span),
            Rule::Count(_) => span.last,
        }
    }

    /// Whether a record of this time is of the next window, by its time.
    pub fn has_ended(&self, span: &Span, time: EventTime) -> bool {
        matches!(self, Rule::Session(rule) if rule.end_of(span) <= time)
    }
}

impl Span {
    /// Without a record, at the time of the first.
    pub fn none(time: EventTime) -> Self {
        Span { first: time, last: time, records: 0 }
    }

    /// Takes in another record.
    pub fn add(&mut self, time: EventTime) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        self.records += 1;
    }
}

impl SessionRule {
    /// When a session ends: a record of this time or a later one is of the next.
    pub fn end_of(&self, span: &Span) -> EventTime {
        span.last.plus_us(self.gap_us).min(span.first.plus_us(self.max_us))
    }

    /// Whether a record that those up to `watermark` are no longer waited for is taken all the
    /// same: into the open session of its series, or into one of its own that has not ended yet.
    /// `closed_to`: when the newest closed session ended. Every session that has ended at
    /// `watermark` is closed.
    pub fn admits(
        &self,
        open: Option<&Span>,
        closed_to: EventTime,
        time: EventTime,
        watermark: EventTime,
    ) -> bool {
        let Some(span) = open else { return time >= closed_to && time.plus_us(self.gap_us) > watermark };
        // One before the session makes it begin earlier, if all of it is still within its longest
        // time.
        let reaches_it = span.first < time.plus_us(self.gap_us) && span.last < time.plus_us(self.max_us);
        time >= closed_to && (time >= span.first || reaches_it)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: SessionRule = SessionRule { gap_us: 10, max_us: 50 };

    fn span(times: &[i64]) -> Span {
        let mut span = Span::none(EventTime(times[0]));
        times.iter().for_each(|&time| span.add(EventTime(time)));
        span
    }

    #[test]
    fn a_session_ends_a_gap_after_its_last_record_and_never_later_than_its_longest() {
        assert_eq!(RULE.end_of(&span(&[100])), EventTime(110));
        assert_eq!(RULE.end_of(&span(&[100, 109, 105])), EventTime(119));
        assert_eq!(RULE.end_of(&span(&[100, 109, 118, 127, 136, 145])), EventTime(150));
        assert_eq!(RULE.end_of(&span(&[i64::MAX - 5])), EventTime::MAX, "times stop at their end");
    }

    #[test]
    fn what_is_not_waited_for_is_taken_while_its_session_is_open() {
        let admits = |open: &[i64], closed_to, time, watermark| {
            let open = (!open.is_empty()).then(|| span(open));
            RULE.admits(open.as_ref(), EventTime(closed_to), EventTime(time), EventTime(watermark))
        };
        // A session of its own that ends after the watermark.
        assert!(admits(&[], 0, 95, 104) && !admits(&[], 0, 95, 105));
        // Within the open one, or near enough before it.
        assert!(admits(&[100, 105], 0, 103, 114));
        assert!(admits(&[100, 105], 0, 91, 114) && !admits(&[100, 105], 0, 90, 114));
        // It would be too long, or its session was closed before.
        assert!(admits(&[100, 140], 0, 91, 140) && !admits(&[100, 141], 0, 91, 140));
        assert!(!admits(&[100, 105], 96, 95, 114) && !admits(&[], 96, 95, 96));
    }
}
