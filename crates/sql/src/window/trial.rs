//! Planning a `select`, and running it before the first record: on no rows, and on a row of nulls.
//! It must not know a record.

use std::sync::Arc;

use arrow::array::{RecordBatchOptions, new_null_array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::EmitTo;
use tickcast_stream::error::Result;
use tickcast_stream::message::{column, timestamp_type};

use super::plan::{Aggregate, Aggregation, path_of};
use super::query::{Select, plan_query};
use crate::depth::on_a_deep_stack;
use crate::expression;
use crate::fault::tolerated;

impl Aggregation {
    /// Plans the expressions over rows of `input`. Errors: `Query`, naming the expression's column,
    /// when an expression does not parse, names an unknown column, is no aggregate, or could differ
    /// from run to run.
    pub fn plan(select: &Select, input: &SchemaRef) -> Result<Self> {
        on_a_deep_stack(|| Self::planned(select, input))
    }

    fn planned(select: &Select, input: &SchemaRef) -> Result<Self> {
        for (name, sql) in select {
            expression::parse(&path_of(name), sql)?;
        }

        // One by one first: a fault then names its own expression.
        for one in select {
            plan_query(std::slice::from_ref(one), input)
                .map_err(|cause| expression::at(&path_of(&one.0), cause))?;
        }
        Self::assembled(select, input)?.tried(select)
    }

    /// Some functions can be planned and not be run: that is told before the first record.
    fn tried(self, select: &Select) -> Result<Self> {
        let Err(cause) = try_on_nothing(&self) else { return Ok(self) };
        for one in select {
            let alone = Self::assembled(std::slice::from_ref(one), self.input_schema())?;
            try_on_nothing(&alone).map_err(|cause| expression::at(&path_of(&one.0), cause))?;
        }
        Err(expression::at("window.select", cause))
    }
}

/// Runs everything once. Errors: of what can be planned, and not be run.
fn try_on_nothing(aggregation: &Aggregation) -> DfResult<()> {
    let mut fields: Vec<Field> = cloned(aggregation.input_schema());
    fields.push(Field::new(column::TIME, timestamp_type(), true));
    let of_nulls = row_of_nulls(fields)?;
    aggregation.arguments_of(&of_nulls.slice(0, 0))?;
    if let Some(arguments) = tolerated(aggregation.arguments_of(&of_nulls))? {
        aggregation.aggregates.iter().try_for_each(|aggregate| try_aggregate(aggregate, &arguments))?;
    }

    // Its own row of nulls: of none of them a quotient is by zero.
    let between = row_of_nulls(cloned(&aggregation.between))?;
    for expr in &aggregation.projection {
        expr.evaluate(&between.slice(0, 0))?.into_array(0)?;
        tolerated(expr.evaluate(&between))?;
    }
    Ok(())
}

fn try_aggregate(aggregate: &Aggregate, arguments: &RecordBatch) -> DfResult<()> {
    let anew = || aggregate.accumulator().map_err(|cause| DataFusionError::External(Box::new(cause)));
    let (mut first, mut second) = (anew()?, anew()?);
    aggregate.update(first.as_mut(), arguments, &[0], 1)?;
    second.merge_batch(&first.state(EmitTo::All)?, &[0], 1)?;
    second.evaluate(EmitTo::All).map(drop)
}

fn cloned(schema: &Schema) -> Vec<Field> {
    schema.fields().iter().map(|field| field.as_ref().clone()).collect()
}

fn row_of_nulls(fields: Vec<Field>) -> DfResult<RecordBatch> {
    let fields: Vec<Field> = fields.into_iter().map(|field| field.with_nullable(true)).collect();
    let nulls = fields.iter().map(|field| new_null_array(field.data_type(), 1)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), nulls, &options)?)
}
