//! The operator before windows: records in, those that count with the columns that windows need
//! out.
//! It must not know windows, nor read a clock.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::message::{EventTime, system_fields};
use tickcast_stream::operator::{Operator, OperatorStats, Output, SnapshotWriter};

use super::plan::Preparation;
use crate::fault::failure_text;
use crate::window::computable;

/// Leaves records out, and derives columns of the others.
pub struct PrepareOperator {
    preparation: Arc<Preparation>,
    output: SchemaRef,
    /// Records that were left out.
    filtered: u64,
}

impl PrepareOperator {
    /// An operator that has seen nothing.
    pub fn new(preparation: Arc<Preparation>) -> Self {
        let mut fields = system_fields();
        fields.extend(preparation.output_schema().fields().iter().map(|field| field.as_ref().clone()));
        PrepareOperator { preparation, output: Arc::new(Schema::new(fields)), filtered: 0 }
    }

    /// What comes out of rows, and how many of them count. Errors: a record's own.
    fn prepared(&self, batch: &RecordBatch) -> datafusion::error::Result<(RecordBatch, usize)> {
        let kept;
        let batch = match self.preparation.keeps(&data_of(batch)?)? {
            None => batch,
            Some(keeps) => {
                kept = filter_record_batch(batch, &keeps)?;
                &kept
            }
        };
        let mut columns: Vec<ArrayRef> = batch.columns()[..system_fields().len()].to_vec();
        columns.extend(self.preparation.columns(&data_of(batch)?)?);
        Ok((RecordBatch::try_new(Arc::clone(&self.output), columns)?, batch.num_rows()))
    }
}

/// The data columns of a batch of rows.
fn data_of(batch: &RecordBatch) -> datafusion::error::Result<RecordBatch> {
    let data: Vec<usize> = (system_fields().len()..batch.num_columns()).collect();
    Ok(batch.project(&data)?)
}

impl Operator for PrepareOperator {
    fn name(&self) -> &'static str {
        "prepare"
    }

    fn on_batch(&mut self, batch: &RecordBatch, out: &mut dyn Output) -> Result<()> {
        let good;
        let (all, (rows, kept)) = match self.prepared(batch) {
            Ok(prepared) => (batch.num_rows(), prepared),
            Err(_) => {
                let why = |row: &RecordBatch| {
                    let why = self.prepared(row).err();
                    Ok(why.map(|why| format!("where or derive: {}", failure_text(&why))))
                };
                good = computable(batch, why, out)?;
                let fail = || "rows that were good alone are not so together";
                (good.num_rows(), self.prepared(&good).or_fail(Kind::Query, fail)?)
            }
        };
        self.filtered += (all - kept) as u64;
        if kept > 0 { out.rows(rows) } else { Ok(()) }
    }

    fn on_watermark(&mut self, _: EventTime, _: &mut dyn Output) -> Result<()> {
        Ok(())
    }

    fn snapshot(&mut self) -> SnapshotWriter {
        let filtered = self.filtered;
        Box::new(move || Ok(filtered.to_le_bytes().to_vec()))
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let bytes = state.try_into().or_fail(Kind::State, || "cannot read how many records were left out")?;
        self.filtered = u64::from_le_bytes(bytes);
        Ok(())
    }

    fn report(&self, stats: &mut OperatorStats) {
        stats.records_filtered = self.filtered;
    }
}
