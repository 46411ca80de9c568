//! Selected columns of closed windows that could not be computed, told once a column.
//! It must not know how a window is aggregated.

use std::collections::BTreeMap;

use tickcast_stream::message::EventTime;
use tickcast_stream::operator::OperatorStats;

use super::plan::{FailedColumn, path_of};
use super::rows::show_time;

/// What failed first of each column, by the column. It is no part of a state: a restart tells it
/// again.
#[derive(Debug, Default)]
pub(super) struct Failures(BTreeMap<String, String>);

impl Failures {
    /// A column has failed for a series in the window that starts then.
    pub fn note(&mut self, FailedColumn { column, why, .. }: FailedColumn, series: &str, start: EventTime) {
        let path = path_of(&column);
        self.0.entry(column).or_insert_with(|| {
            let start = show_time(start);
            format!(
                "{path} of series {series} in the window from {start}: {why}; there it has no value, and more are only \
                 counted"
            )
        });
    }

    /// All of them.
    pub fn report(&self, stats: &mut OperatorStats) {
        stats.failures = self.0.clone();
    }
}
