//! What is strange about a partition's first records: that all are rejected, or that none has a
//! value of some column.
//! It must not change what comes of them: it is only told.

use arrow::array::Array;
use arrow::datatypes::Schema;

use crate::decode::{Decode, Decoded};
use crate::message::{RawRecord, Records, Reject};
use crate::place::PartitionId;

/// So many records say whether something is strange.
const RECORDS: u64 = 1_000;

/// Looks at the first records until it knows.
pub(super) struct FirstRecords {
    seen: u64,
    good: u64,
    /// The columns of which no value has come.
    absent: Vec<String>,
    newest: Option<RawRecord>,
    /// The newest reject.
    rejected: Option<Reject>,
    is_over: bool,
    /// Whether the log has the first time that was read.
    has_told_time: bool,
}

/// Something strange, and the words for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strange {
    /// What it is about, to tell it once.
    pub about: String,
    /// For a person.
    pub what: String,
}

impl FirstRecords {
    /// None seen; `schema`: of the rows that come, system columns first.
    pub fn new(schema: &Schema, system: usize) -> Self {
        let data = schema.fields().iter().skip(system);
        FirstRecords {
            seen: 0,
            good: 0,
            absent: data.map(|field| field.name().clone()).collect(),
            newest: None,
            rejected: None,
            is_over: false,
            has_told_time: false,
        }
    }

    /// Shows a person once how times are understood.
    pub fn tell_time(&mut self, partition: PartitionId, decoder: &dyn Decode) {
        if let Some(first) = decoder.first_time().filter(|_| !self.has_told_time) {
            let partition = partition.0;
            tracing::info!(partition, "the first record's time: {}, read from {}", first.time, first.written);
            self.has_told_time = true;
        }
    }

    /// Looks at some more. What is strange, once that is known.
    pub fn look(&mut self, records: &Records, decoded: &Decoded, decoder: &dyn Decode) -> Vec<Strange> {
        if self.is_over {
            return Vec::new();
        }

        self.seen += (records.len() - decoded.passed.len().min(records.len())) as u64;
        self.good += decoded.rows.num_rows() as u64;
        let has_value = |name: &String| {
            decoded.rows.column_by_name(name).is_some_and(|column| column.null_count() < column.len())
        };
        self.absent.retain(|name| !has_value(name));
        if let Records::Raw(records) = records {
            self.newest = records.last().cloned();
        }
        self.rejected = decoded.rejects.last().cloned().or(self.rejected.take());
        if self.seen < RECORDS { Vec::new() } else { self.end(decoder) }
    }

    /// No more is looked at. What is strange of those that were.
    pub fn end(&mut self, decoder: &dyn Decode) -> Vec<Strange> {
        if std::mem::replace(&mut self.is_over, true) || self.seen == 0 {
            return Vec::new();
        }

        let newest = self.newest.take();
        if self.good == 0 {
            let why = self.rejected.take().map(|reject| format!(": {}, {}", reject.reason, reject.detail));
            let what =
                format!("all of the first {} records were rejected{}", self.seen, why.unwrap_or_default());
            return vec![Strange { about: "records".into(), what }];
        }
        let none = |name: &String| {
            let known = newest.as_ref().and_then(|record| decoder.fields_beside(name, record));
            let known = known.map(|known| format!(": {known}")).unwrap_or_default();
            let what =
                format!("none of the first {} records has a value of column `{name}`{known}", self.seen);
            Strange { about: format!("column {name}"), what }
        };
        self.absent.iter().map(none).collect()
    }
}
