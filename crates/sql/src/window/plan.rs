//! `select` planned by DataFusion: SQL aggregate expressions in, accumulators and a projection out.
//! It must not know windows or time; it plans once, before the first record.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatchOptions, new_null_array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::{DFSchema, ScalarValue, cast::as_boolean_array};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, GroupsAccumulator};
use datafusion::physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::message::column;

use super::query::{Planned, Select, plan_query};
use crate::expression;
use crate::fault::failure_text;
use crate::meter::{Meter, meter_of};

/// A planned `select`: which accumulators to feed, and the projection over their results.
pub struct Aggregation {
    /// The accumulators to feed, in the order of the projection's columns.
    pub aggregates: Vec<Aggregate>,
    /// What the accumulators take, over the data columns of a row: arguments and FILTERs.
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    argument_schema: SchemaRef,
    /// Over (group, one column an aggregate).
    pub(super) projection: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) between: SchemaRef,
    output: SchemaRef,
    input: SchemaRef,
    /// What each column has in a window without a record, one row; none: nothing can be said.
    quiet: Vec<Option<ArrayRef>>,
    /// The zero of each column's type, one row; none where it is no number.
    zeros: Vec<Option<ArrayRef>>,
}

/// A selected column of a window that could not be computed.
pub struct FailedColumn {
    /// The row of its series.
    pub row: usize,
    /// Its name.
    pub column: String,
    /// What DataFusion says, or what is wrong with the value.
    pub why: String,
}

/// One aggregate function and where its arguments and its FILTER stand among all arguments.
pub struct Aggregate {
    function: Arc<AggregateFunctionExpr>,
    arguments: Range<usize>,
    filter: Option<usize>,
}

impl Aggregate {
    /// A fresh accumulator over groups; functions that have only a plain one go through
    /// DataFusion's adapter.
    pub fn accumulator(&self) -> Result<Box<dyn GroupsAccumulator>> {
        let accumulator = if self.function.groups_accumulator_supported() {
            self.function.create_groups_accumulator()
        } else {
            let function = Arc::clone(&self.function);
            Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())) as _)
        };
        accumulator.or_fail(Kind::Query, || format!("cannot run {}", self.function.name()))
    }

    /// Feeds rows of arguments: `groups[i]` is the group of row i, of `total` groups.
    pub fn update(
        &self,
        accumulator: &mut dyn GroupsAccumulator,
        arguments: &RecordBatch,
        groups: &[usize],
        total: usize,
    ) -> datafusion::error::Result<()> {
        let keep = self.filter.map(|filter| as_boolean_array(arguments.column(filter)).cloned());
        let keep = keep.transpose()?;
        accumulator.update_batch(&arguments.columns()[self.arguments.clone()], groups, keep.as_ref(), total)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.function.name()
    }
}

impl Aggregation {
    /// Plans the expressions, and runs none. Errors: `Query`.
    pub(super) fn assembled(select: &Select, input: &SchemaRef) -> Result<Self> {
        let planned = plan_query(select, input).or_fail(Kind::Query, || "cannot plan window.select")?;
        let Planned { aggregates, projection, between, input: rows } = planned;

        let mut arguments: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
        let aggregates = aggregates.iter().map(|expr| lower(expr, &rows, &mut arguments));
        let aggregates = aggregates.collect::<Result<Vec<_>>>()?;
        let argument_schema = argument_schema(&arguments, rows.as_arrow())?;
        let projection = projection
            .iter()
            .map(|expr| expression::physical(expr, &between))
            .collect::<datafusion::error::Result<Vec<_>>>()
            .or_fail(Kind::Query, || "cannot plan window.select")?;

        let between = Arc::new(between.as_arrow().clone());
        let output = output_schema(select, &projection, &between)?;
        let input = Arc::clone(input);
        let quiet = quiet_values(&aggregates, &projection, &between);
        let zeros = output.fields().iter().map(|field| zero_of(field.data_type())).collect();
        Ok(Aggregation {
            aggregates,
            arguments,
            argument_schema,
            projection,
            between,
            output,
            input,
            quiet,
            zeros,
        })
    }

    /// The columns a row needs, in order.
    pub fn input_schema(&self) -> &SchemaRef {
        &self.input
    }

    /// The selected columns, in order.
    pub fn output_schema(&self) -> &SchemaRef {
        &self.output
    }

    /// What each selected column has in a window without a record, one row: those that are made of
    /// sums and counts alone.
    pub fn quiet_values(&self) -> &[Option<ArrayRef>] {
        &self.quiet
    }

    /// The zero of each selected column, one row; none where it is no number.
    pub fn zeros(&self) -> &[Option<ArrayRef>] {
        &self.zeros
    }

    /// The aggregates that are meters, by their place: what they evaluate to is to be made steps.
    pub fn meters(&self) -> impl Iterator<Item = (usize, Meter)> + '_ {
        let meter_of = |aggregate: &Aggregate| meter_of(aggregate.function.fun());
        self.aggregates.iter().enumerate().filter_map(move |(at, of)| Some((at, meter_of(of)?)))
    }

    /// The schema of [`Aggregation::arguments_of`].
    pub fn argument_schema(&self) -> &SchemaRef {
        &self.argument_schema
    }

    /// The accumulators' arguments for rows with the input columns, and their times as the last
    /// one. Errors: a record's own, such as
    /// a division by zero; each row is judged alone, so a batch that fails can be tried row by row.
    pub fn arguments_of(&self, rows: &RecordBatch) -> datafusion::error::Result<RecordBatch> {
        evaluate(&self.arguments, rows, &self.argument_schema)
    }

    /// The selected columns of `groups` groups from their aggregates' values, and what of them
    /// failed, such as a sum that overflows: it is null, or a float that is no number.
    pub fn project(&self, values: Vec<ArrayRef>, groups: usize) -> Result<(RecordBatch, Vec<FailedColumn>)> {
        let group: ArrayRef = Arc::new(arrow::array::UInt32Array::from_iter_values(0..groups as u32));
        let columns = std::iter::once(group).chain(values).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(groups));
        let between = RecordBatch::try_new_with_options(Arc::clone(&self.between), columns, &options)
            .or_fail(Kind::Query, || "an aggregate's type is not the planned one")?;
        if let Ok(columns) = evaluate(&self.projection, &between, &self.output) {
            let failed = not_finite(&columns);
            return Ok((columns, failed));
        }
        let mut failed = Vec::new();
        let rows = (0..groups).map(|row| self.project_alone(&between.slice(row, 1), row, &mut failed));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        let rows = concat_batches(&self.output, &rows)
            .or_fail(Kind::Query, || "the rows of a window do not fit together")?;
        failed.extend(not_finite(&rows));
        Ok((rows, failed))
    }

    fn project_alone(
        &self,
        between: &RecordBatch,
        row: usize,
        failed: &mut Vec<FailedColumn>,
    ) -> Result<RecordBatch> {
        let columns = self.projection.iter().zip(self.output.fields()).map(|(expr, field)| {
            let value = expr.evaluate(between).and_then(|value| value.into_array(1));
            value.unwrap_or_else(|cause| {
                failed.push(FailedColumn { row, column: field.name().clone(), why: failure_text(&cause) });
                new_null_array(field.data_type(), 1)
            })
        });
        RecordBatch::try_new(Arc::clone(&self.output), columns.collect())
            .or_fail(Kind::Query, || "a selected column's type is not the planned one")
    }
}

/// Floats that are no numbers, which are as good as none: a sum that overflows, a quotient by 0.
fn not_finite(columns: &RecordBatch) -> Vec<FailedColumn> {
    let mut failed = Vec::new();
    for (field, column) in columns.schema_ref().fields().iter().zip(columns.columns()) {
        let Some(values) = column.as_primitive_opt::<Float64Type>() else { continue };
        for (row, value) in
            values.iter().enumerate().filter(|(_, value)| value.is_some_and(|of| !of.is_finite()))
        {
            let why = if value.is_some_and(f64::is_nan) { "it is not a number" } else { "it is infinite" };
            failed.push(FailedColumn { row, column: field.name().clone(), why: why.into() });
        }
    }
    failed
}

/// The zero of a type of numbers, one row.
fn zero_of(data_type: &DataType) -> Option<ArrayRef> {
    let zero = data_type.is_numeric().then(|| ScalarValue::new_zero(data_type));
    zero?.and_then(|zero| zero.to_array_of_size(1)).ok()
}

/// What each column of the projection is where every sum and count is 0.
fn quiet_values(
    aggregates: &[Aggregate],
    projection: &[Arc<dyn PhysicalExpr>],
    between: &SchemaRef,
) -> Vec<Option<ArrayRef>> {
    let is_total = |aggregate: &Aggregate| ["sum", "count"].contains(&aggregate.function.fun().name());
    // The group comes before the aggregates.
    let zeros = between
        .fields()
        .iter()
        .map(|field| zero_of(field.data_type()).unwrap_or_else(|| new_null_array(field.data_type(), 1)));
    let Ok(zeros) = RecordBatch::try_new(Arc::clone(between), zeros.collect()) else {
        return vec![None; projection.len()];
    };

    let value = |expr: &Arc<dyn PhysicalExpr>| {
        let used = collect_columns(expr);
        let mut totals = used.iter().map(|column| aggregates.get(column.index().checked_sub(1)?));
        if used.is_empty() || !totals.all(|aggregate| aggregate.is_some_and(is_total)) {
            return None;
        }
        let value = expr.evaluate(&zeros).and_then(|value| value.into_array(1)).ok()?;
        let number = cast(&value, &DataType::Float64).ok()?;
        let is_known =
            number.as_primitive::<Float64Type>().iter().all(|number| number.is_some_and(f64::is_finite));
        is_known.then_some(value)
    };
    projection.iter().map(value).collect()
}

fn evaluate(
    exprs: &[Arc<dyn PhysicalExpr>],
    rows: &RecordBatch,
    schema: &SchemaRef,
) -> datafusion::error::Result<RecordBatch> {
    let columns = exprs.iter().map(|expr| expr.evaluate(rows)?.into_array(rows.num_rows()));
    let columns = columns.collect::<datafusion::error::Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn argument_schema(arguments: &[Arc<dyn PhysicalExpr>], input: &Schema) -> Result<SchemaRef> {
    let fields = arguments.iter().enumerate().map(|(index, argument)| {
        let data_type =
            argument.data_type(input).or_fail(Kind::Query, || "an argument in select has no type")?;
        Ok(Field::new(index.to_string(), data_type, true))
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}

fn output_schema(
    select: &Select,
    projection: &[Arc<dyn PhysicalExpr>],
    between: &Schema,
) -> Result<SchemaRef> {
    let fields = select.iter().zip(projection).map(|((name, _), expr)| {
        let data_type =
            expr.data_type(between).or_fail(Kind::Query, || format!("window.select.{name} has no type"))?;
        Ok(Field::new(name, data_type, true))
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}

/// One aggregate ready to run; its arguments are added to those of the others.
fn lower(expr: &Expr, input: &DFSchema, arguments: &mut Vec<Arc<dyn PhysicalExpr>>) -> Result<Aggregate> {
    let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
    let lowered = LoweredAggregateBuilder::new(expr, input, input.as_arrow(), &props, &context)
        .build()
        .or_fail(Kind::Query, || "cannot plan window.select")?;

    let first = arguments.len();
    let given = lowered.aggregate.expressions().into_iter().map(expression::checked);
    let given = given.collect::<datafusion::error::Result<Vec<_>>>();
    arguments.extend(given.or_fail(Kind::Query, || "cannot plan window.select")?);
    // Order-sensitive accumulators take their sort keys as further arguments.
    arguments.extend(lowered.aggregate.order_bys().iter().map(|key| Arc::clone(&key.expr)));
    if meter_of(lowered.aggregate.fun()).is_some() {
        let time = Column::new_with_schema(column::TIME, input.as_arrow());
        arguments.push(Arc::new(time.or_fail(Kind::Query, || "cannot plan window.select")?));
    }
    let range = first..arguments.len();
    let filter = lowered.filter.map(|filter| {
        arguments.push(filter);
        arguments.len() - 1
    });
    Ok(Aggregate { function: lowered.aggregate, arguments: range, filter })
}

/// The path of a selected column's key.
pub fn path_of(name: &str) -> String {
    format!("window.select.{name}")
}

/// The columns that the expressions name, sorted. Errors: `Query`, when an expression does not
/// parse.
pub fn referenced_columns(select: &Select) -> Result<Vec<String>> {
    let mut names = BTreeSet::new();
    for (name, sql) in select {
        names.extend(expression::columns_of(&path_of(name), sql)?);
    }
    Ok(names.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::{WORDS_MAX, key_of};

    /// F11, the same kind: a pipeline file with 20,000 terms ended every verb with SIGABRT.
    #[test]
    fn an_expression_that_could_overflow_the_stack_is_refused_and_the_longest_is_planned() {
        let sum = |terms: usize| select(&format!("max(n{})", " + n".repeat(terms)));
        let refused = Aggregation::plan(&sum(20_000), &input()).err().unwrap().to_string();
        assert!(refused.contains("window.select.out") && refused.contains("nested too deeply"), "{refused}");
        Aggregation::plan(&sum(WORDS_MAX / 2 - 2), &input()).unwrap();
    }

    fn input() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("Temp", DataType::Float64, true),
            Field::new("n", DataType::Int64, true),
        ]))
    }

    fn select(sql: &str) -> Vec<(String, String)> {
        vec![("out".into(), sql.into())]
    }

    #[test]
    fn columns_are_found_as_they_are_written() {
        let columns =
            referenced_columns(&select("max(Temp) - min(\"Temp\") + count(n) FILTER (WHERE b > 1)"));
        assert_eq!(columns.unwrap(), ["Temp", "b", "n"]);
    }

    #[test]
    fn a_plan_has_an_accumulator_an_aggregate_and_a_typed_output() {
        let plan = Aggregation::plan(&select("max(Temp) - min(Temp) * avg(n)"), &input()).unwrap();
        assert_eq!(plan.aggregates.len(), 3);
        assert_eq!(plan.output_schema().field(0).data_type(), &DataType::Float64);
    }

    #[test]
    fn what_is_no_pure_aggregate_is_refused_by_its_column() {
        for sql in ["Temp", "max(nothing)", "max(Temp", "avg(random())", "max(Temp) max", "max((SELECT 1))"] {
            let error = match Aggregation::plan(&select(sql), &input()) {
                Err(error) => error,
                Ok(_) => panic!("{sql} was planned"),
            };
            assert_eq!(key_of(&error).unwrap(), ["window", "select", "out"], "{error}");
        }
    }
}
