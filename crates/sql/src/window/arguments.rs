//! Rows of records into rows of what the aggregates take, and the schema of what comes out.
//! It must not know when a window closes.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tickcast_stream::closed_window;
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::message::column;
use tickcast_stream::operator::Output;

use super::plan::Aggregation;
use super::rows::computable;
use super::silence::Silence;

impl Aggregation {
    /// The schema of a closed window's batch. `silence`: what the rows of silent series have; none:
    /// they have no rows.
    pub(super) fn closed_schema(&self, silence: Option<&Silence>) -> SchemaRef {
        let mut fields = closed_window::fields();
        let selected = self.output_schema().fields().iter().enumerate();
        fields.extend(selected.map(|(at, field)| match silence {
            Some(silence) => silence.marked(at, field),
            None => Field::clone(field),
        }));
        Arc::new(Schema::new(fields))
    }

    /// The columns that the expressions name, and the times.
    fn data_of(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let named = self.input_schema().fields().iter().map(|field| field.name().as_str());
        let wanted = named.chain([column::TIME]).map(|name| batch.schema_ref().index_of(name));
        let wanted = wanted.collect::<std::result::Result<Vec<_>, _>>();
        let wanted = wanted.or_fail(Kind::Query, || "a batch lacks a selected column")?;
        batch.project(&wanted).or_fail(Kind::Query, || "cannot project a batch")
    }

    /// The rows for which every expression of `select` can be computed, and its arguments for them.
    pub(super) fn computable(
        &self,
        batch: &RecordBatch,
        out: &mut dyn Output,
    ) -> Result<(RecordBatch, RecordBatch)> {
        if let Ok(arguments) = self.arguments_of(&self.data_of(batch)?) {
            return Ok((batch.clone(), arguments));
        }
        let why_not = |row: &RecordBatch| {
            let why = self.arguments_of(&self.data_of(row)?).err();
            Ok(why.map(|why| format!("window.select: {}", why.strip_backtrace())))
        };
        let good = computable(batch, why_not, out)?;
        let arguments = self.arguments_of(&self.data_of(&good)?);
        let fail = || "rows that were good alone are not so together";
        Ok((good, arguments.or_fail(Kind::Query, fail)?))
    }
}
