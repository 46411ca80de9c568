//! What is pushed into the source's log, counted. The series are there only where something can be
//! pushed.
//! It must not know how it comes.

use super::Metrics;

impl Metrics {
    /// Requests that brought records, by what became of them.
    pub fn ingest_requests(&self, outcome: &str, requests: u64) {
        self.input.ingest_requests.with_label_values(&[outcome]).inc_by(requests);
    }

    /// Records that came and are durable.
    pub fn ingest_records(&self, records: u64) {
        self.input.ingest_records.with_label_values::<&str>(&[]).inc_by(records);
    }
}
