//! The operator that lets each record through once; the others become rejects.
//! It must not know windows, nor read a clock: what is remembered depends on the records' own
//! times.
//!
//! Identities are kept as they are, not as hashes: two records are the same where their values are.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, Rows, SortField};
use tickcast_stream::Offset;
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::{EventTime, Reason, column, timestamp_type};
use tickcast_stream::operator::{Operator, OperatorStats, Output, SnapshotWriter};

use super::seen::Seen;
use super::spec::DeduplicateSpec;
use crate::window::{Watermark, WindowSpec, pick, rejected, system};

/// Lets each record through once.
#[derive(Clone)]
pub struct DeduplicateOperator {
    spec: DeduplicateSpec,
    /// Series and columns as one text of bytes.
    identities: Arc<RowConverter>,
    /// None: one clock for all records.
    most_series: Option<usize>,
    seen: Seen,
}

impl DeduplicateOperator {
    /// An operator that has seen nothing, over rows with these data columns. Where every series has
    /// windows by its own times, it has a memory by them too. Errors: `Query`, for a column that is
    /// not there, or whose values cannot be compared.
    pub fn new(spec: &DeduplicateSpec, window: &WindowSpec, input: &Schema) -> Result<Self> {
        let mut fields = vec![SortField::new(DataType::Utf8)];
        for name in &spec.by {
            let path = || format!("deduplicate.by: {name}");
            let field = input.field_with_name(name).or_fail(Kind::Query, path)?;
            let field = SortField::new(field.data_type().clone());
            if !RowConverter::supports_fields(std::slice::from_ref(&field)) {
                return Err(Error::new(Kind::Query, format!("{}: its values cannot be compared", path())));
            }
            fields.push(field);
        }
        if spec.by.is_empty() {
            fields.push(SortField::new(timestamp_type()));
        }

        let identities = RowConverter::new(fields).or_fail(Kind::Query, || "deduplicate.by")?;
        let most_series = (window.watermark == Watermark::Series).then_some(window.most_series.max(1));
        Ok(DeduplicateOperator {
            spec: spec.clone(),
            identities: Arc::new(identities),
            most_series,
            seen: Seen::default(),
        })
    }

    /// The columns that make records the same.
    fn columns<'a>(&self, rows: &'a RecordBatch) -> Result<Vec<&'a ArrayRef>> {
        let names = self.spec.by.iter().map(String::as_str);
        let time = self.spec.by.is_empty().then_some(column::TIME);
        let found = names.chain(time).map(|name| {
            let column = rows.column_by_name(name);
            column.ok_or_else(|| Error::new(Kind::Query, format!("a batch lacks the column {name}")))
        });
        found.collect()
    }

    fn identities(&self, rows: &RecordBatch, columns: &[&ArrayRef]) -> Result<Rows> {
        let series: ArrayRef = Arc::new(system::<StringArray>(rows, column::SERIES)?.clone());
        let columns: Vec<ArrayRef> =
            std::iter::once(series).chain(columns.iter().copied().cloned()).collect();
        let fail = || "cannot compare records";
        self.identities.convert_columns(&columns).or_fail(Kind::Query, fail)
    }

    fn same_as(&self, before: Offset) -> String {
        let what = if self.spec.by.is_empty() { "time".into() } else { self.spec.by.join(", ") };
        format!("its series and {what} are those of the record at offset {}", before.0)
    }
}

impl Operator for DeduplicateOperator {
    fn name(&self) -> &'static str {
        "deduplicate"
    }

    fn on_batch(&mut self, batch: &RecordBatch, out: &mut dyn Output) -> Result<()> {
        let columns = self.columns(batch)?;
        let identities = self.identities(batch, &columns)?;
        let times = system::<TimestampMicrosecondArray>(batch, column::TIME)?;
        let offsets = system::<Int64Array>(batch, column::OFFSET)?;
        let names = system::<StringArray>(batch, column::SERIES)?;
        let of_all = self.most_series.is_none().then(|| self.seen.clock("", 1));
        let mut first: Vec<u32> = Vec::with_capacity(batch.num_rows());

        for row in 0..batch.num_rows() {
            let most = self.most_series.unwrap_or(1);
            let clock = of_all.unwrap_or_else(|| self.seen.clock(names.value(row), most));
            // Of a record without a value nobody knows whether it is the same as another.
            let is_whole = columns.iter().all(|column| column.is_valid(row));
            let at = (EventTime(times.value(row)), Offset(offsets.value(row)));
            let identity = identities.row(row);
            let before =
                is_whole.then(|| self.seen.before(identity.as_ref(), at, clock, self.spec.within_us));
            match before.flatten() {
                Some(before) => out.reject(rejected(batch, row, Reason::Duplicate, self.same_as(before))?),
                None => first.push(row as u32),
            }
        }

        if first.len() == batch.num_rows() {
            return out.rows(batch.clone());
        }
        if first.is_empty() { Ok(()) } else { out.rows(pick(batch, &first)?) }
    }

    fn on_watermark(&mut self, _: EventTime, _: &mut dyn Output) -> Result<()> {
        Ok(())
    }

    fn snapshot(&mut self) -> SnapshotWriter {
        self.seen.writer()
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        self.seen = Seen::read(state)?;
        Ok(())
    }

    fn report(&self, stats: &mut OperatorStats) {
        stats.records_forgotten = self.seen.forgotten;
    }
}
