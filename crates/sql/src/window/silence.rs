//! What the row of a silent series has: its last values, or those of a window without a record.
//! It must not know when a window closes, nor which series is silent.

use arrow::array::ArrayRef;
use arrow::compute::interleave;
use arrow::datatypes::Field;
use arrow::record_batch::RecordBatch;
use tickcast_stream::closed_window::TRUE_IN_SILENCE;
use tickcast_stream::error::{Kind, OrFail, Result};

use super::plan::Aggregation;
use super::spec::{Fill, Gaps};

/// Rows that are carried, those of the window that closes, and the one of a quiet window.
pub(super) const BEFORE: usize = 0;
pub(super) const NOW: usize = 1;
const QUIET: usize = 2;

/// What each selected column has in the row of a series that is silent for a whole window.
#[derive(Debug, Clone)]
pub(super) struct Silence {
    /// The one value, by column; none: the last one is repeated.
    quiet: Vec<Option<ArrayRef>>,
}

impl Silence {
    /// None: a silent series has no row.
    pub fn of(gaps: &Gaps, aggregation: &Aggregation) -> Option<Self> {
        let fields = aggregation.output_schema().fields();
        let all = || fields.iter().zip(aggregation.quiet_values().iter().zip(aggregation.zeros()));
        let quiet: Vec<Option<ArrayRef>> = match gaps {
            Gaps::Skip => return None,
            Gaps::Carry => vec![None; fields.len()],
            Gaps::Auto => aggregation.quiet_values().to_vec(),
            Gaps::Zero => aggregation.zeros().to_vec(),
            Gaps::Columns(fills) => all()
                .map(|(field, (quiet, zero))| match fills.get(field.name()) {
                    Some(Fill::Carry) => None,
                    Some(Fill::Zero) => zero.clone(),
                    None => quiet.clone(),
                })
                .collect(),
        };
        Some(Silence { quiet })
    }

    /// The field of the selected column at this place, with a mark where it is true in silence.
    pub fn marked(&self, column: usize, field: &Field) -> Field {
        let mut field = field.clone();
        if self.quiet[column].is_some() {
            field.metadata_mut().insert(TRUE_IN_SILENCE.to_owned(), String::new());
        }
        field
    }

    /// The rows at these places: a place is [`BEFORE`] or [`NOW`], and the row there. Those from
    /// before are of series that are silent now.
    pub fn rows(
        &self,
        before: &RecordBatch,
        now: &RecordBatch,
        places: &[(usize, usize)],
    ) -> Result<RecordBatch> {
        let fail = || "cannot carry rows";
        let is_silent = |&(of, row): &(usize, usize)| if of == BEFORE { (QUIET, 0) } else { (of, row) };
        let quiet_places: Vec<(usize, usize)> = places.iter().map(is_silent).collect();
        let columns = before.columns().iter().zip(now.columns()).zip(&self.quiet);
        let columns = columns.map(|((before, now), quiet)| match quiet {
            Some(quiet) => interleave(&[before.as_ref(), now.as_ref(), quiet.as_ref()], &quiet_places),
            None => interleave(&[before.as_ref(), now.as_ref()], places),
        });
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>().or_fail(Kind::Query, fail)?;
        RecordBatch::try_new(before.schema(), columns).or_fail(Kind::Query, fail)
    }
}
