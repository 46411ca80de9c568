//! Records that were not taken in, counted by reason.
//! It must not know why a record is rejected.

use super::Metrics;
use crate::message::Reason;

impl Metrics {
    /// What was rejected, by reason, on one line for a person.
    pub fn rejects(&self) -> String {
        let count = |reason: &Reason| self.input.rejected.with_label_values(&[reason.word()]).get();
        let counts = Reason::ALL.iter().map(|reason| (reason, count(reason))).filter(|(_, count)| *count > 0);
        let counts: Vec<String> = counts.map(|(reason, count)| format!("{count} {reason}")).collect();
        if counts.is_empty() {
            return "no record was rejected".into();
        }

        let hint = if count(&Reason::Late) > 0 {
            " (late: the window had closed; raise window.lateness, or take a file by source.file.order: time)"
        } else {
            ""
        };
        format!("rejected: {}{hint}", counts.join(", "))
    }

    /// Whether a record was rejected for this reason already.
    pub fn has_rejected(&self, reason: Reason) -> bool {
        self.input.rejected.with_label_values(&[reason.word()]).get() > 0
    }

    /// Rejects that were cut. How many there had been before.
    pub fn cut_rejects(&self, rejects: u64) -> u64 {
        let before = self.input.cut.get();
        self.input.cut.inc_by(rejects);
        before
    }

    /// Records that were not taken in.
    pub fn rejected(&self, reason: Reason, records: u64) {
        self.input.rejected.with_label_values(&[reason.word()]).inc_by(records);
        if reason == Reason::Late {
            self.input.late.inc_by(records);
        }
    }
}
