//! Records that were not taken in, counted by reason.
//! It must not know why a record is rejected.

use prometheus::core::Collector;

use super::Metrics;
use crate::message::Reason;
use crate::passed_over::PassReason;

impl Metrics {
    /// What was rejected, by reason, on one line for a person.
    pub fn rejects(&self) -> String {
        let count = |reason: &Reason| self.input.rejected.with_label_values(&[reason.word()]).get();
        let counts = Reason::ALL.iter().map(|reason| (reason, count(reason))).filter(|(_, count)| *count > 0);
        let counts: Vec<String> = counts.map(|(reason, count)| format!("{count} {reason}")).collect();
        let rest = self.blank_columns() + &self.passed_records();
        if counts.is_empty() {
            return format!("no record was rejected{rest}");
        }

        let hint = if count(&Reason::Late) > 0 {
            " (late: the window had closed; raise window.lateness, or take a file by source.file.order: time)"
        } else {
            ""
        };
        format!("rejected: {}{hint}{rest}", counts.join(", "))
    }

    /// The columns that have cells that cannot be read, for the end of a line.
    fn blank_columns(&self) -> String {
        let families = self.input.blank.collect();
        let columns = families.iter().flat_map(|family| family.get_metric()).filter_map(|metric| {
            let name = metric.get_label().iter().find(|label| label.name() == "column")?;
            Some(format!("{} of `{}`", metric.get_counter().get_value(), name.value()))
        });
        let columns: Vec<String> = columns.collect();
        if columns.is_empty() {
            return String::new();
        }
        format!("; cells that cannot be read, and are null: {}", columns.join(", "))
    }

    /// The records that were passed over, for the end of a line.
    fn passed_records(&self) -> String {
        let counts = PassReason::ALL.map(|reason| (reason, self.passed_over(reason, 0)));
        let counts = counts.iter().filter(|(_, count)| *count > 0);
        let counts: Vec<String> = counts.map(|(reason, count)| format!("{count} {reason}")).collect();
        if counts.is_empty() { String::new() } else { format!("; passed over: {}", counts.join(", ")) }
    }

    /// Records that were passed over. How many there had been before.
    pub fn passed_over(&self, reason: PassReason, records: u64) -> u64 {
        let counter = self.input.passed.with_label_values(&[reason.word()]);
        let before = counter.get();
        counter.inc_by(records);
        before
    }

    /// Whether a cell of this column could not be read already.
    pub fn has_blank_cells(&self, column: &str) -> bool {
        self.input.blank.with_label_values(&[column]).get() > 0
    }

    /// Cells of a column that cannot be read.
    pub fn blank_cells(&self, column: &str, cells: u64) {
        self.input.blank.with_label_values(&[column]).inc_by(cells);
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

    /// All connections are made anew, because of new certificates.
    pub fn certificates_reloaded(&self) {
        self.input.certificates.inc();
    }

    /// Records that were not taken in.
    pub fn rejected(&self, reason: Reason, records: u64) {
        self.input.rejected.with_label_values(&[reason.word()]).inc_by(records);
        if reason == Reason::Late {
            self.input.late.inc_by(records);
        }
    }
}
