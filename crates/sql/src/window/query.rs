//! `select` as a logical plan, taken apart: the aggregates, and the projection over them.
//! It must not know how either is run.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, plan_err};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, LogicalPlan, cast};
use tickcast_stream::message::{column, timestamp_type};

use crate::expression;
use crate::meter;

/// The group column of the planned query.
const GROUP: &str = "__group";
/// Holds every integer of 64 bits; a sum of it holds as many of them as there could ever be.
const WIDE: DataType = DataType::Decimal128(20, 0);

/// A SQL expression and the column it makes.
pub type Select = [(String, String)];

/// The parts of a planned `select`.
pub(super) struct Planned {
    /// What is aggregated, over the columns of `input`.
    pub aggregates: Vec<Expr>,
    /// The selected columns, over those of `between`.
    pub projection: Vec<Expr>,
    /// The group, and a column an aggregate.
    pub between: DFSchema,
    /// The data columns, the times, the group.
    pub input: DFSchema,
}

/// Plans `SELECT <select> FROM source GROUP BY group` and takes it apart.
pub(super) fn plan_query(select: &Select, input: &SchemaRef) -> DfResult<Planned> {
    let column = |(name, sql): &(String, String)| {
        format!("({}) AS \"{}\"", expression::for_planner(sql), name.replace('"', "\"\""))
    };
    let columns: Vec<String> = select.iter().map(column).collect();
    let query = format!("SELECT {} FROM source GROUP BY {GROUP}", columns.join(", "));
    // These come last: expressions find the data columns at the places they have in a batch.
    let mut fields: Vec<Field> = input.fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.push(Field::new(column::TIME, timestamp_type(), false));
    fields.push(Field::new(GROUP, DataType::UInt32, false));
    let plan = expression::analyzed(&query, &Schema::new(fields))?;
    let LogicalPlan::Projection(projection) = plan else {
        return plan_err!("this is no aggregate expression");
    };
    let aggregate = match projection.input.as_ref() {
        LogicalPlan::Aggregate(aggregate) if matches!(*aggregate.input, LogicalPlan::TableScan(_)) => {
            aggregate
        }
        _ => return plan_err!("only aggregate expressions over the record's columns are allowed"),
    };

    for expr in projection.expr.iter().chain(&aggregate.aggr_expr) {
        expression::must_be_pure(expr)?;
    }
    aggregate.aggr_expr.iter().try_for_each(meter::must_be_plain)?;
    let input = aggregate.input.schema().as_ref().clone();
    let simple = aggregate.aggr_expr.iter().cloned();
    let simple = simple.map(|expr| expression::with_simple_arguments(expr, &input));
    let sums = Sums::widen(simple.collect::<DfResult<_>>()?, &aggregate.schema)?;
    let projected = projection.expr.iter().cloned();
    let projected = projected.map(|expr| expression::simplified(sums.narrow(expr)?, &sums.between));
    let projection = projected.collect::<DfResult<_>>()?;
    Ok(Planned { aggregates: sums.aggregates, projection, between: sums.between, input })
}

/// Aggregates in which sums of integers are of a type that they cannot overflow. DataFusion's own
/// wrap around; these are integers again in the projection, where one that does not fit is an
/// error.
struct Sums {
    aggregates: Vec<Expr>,
    between: DFSchema,
    /// Names and types of the sums.
    narrow: Vec<(String, DataType)>,
}

impl Sums {
    fn widen(aggregates: Vec<Expr>, between: &DFSchema) -> DfResult<Self> {
        let groups = between.fields().len() - aggregates.len();
        let mut fields: Vec<_> = between.iter().map(|(of, field)| (of.cloned(), Arc::clone(field))).collect();
        let mut narrow = Vec::new();
        let mut wide = Vec::with_capacity(aggregates.len());

        for (expr, (_, field)) in aggregates.into_iter().zip(&mut fields[groups..]) {
            let mut expr = expr;
            if let Expr::AggregateFunction(sum) = &mut expr
                && sum.func.name() == "sum"
                && matches!(field.data_type(), DataType::Int64 | DataType::UInt64)
            {
                narrow.push((field.name().clone(), field.data_type().clone()));
                sum.params.args =
                    std::mem::take(&mut sum.params.args).into_iter().map(|of| cast(of, WIDE)).collect();
                let data_type = sum.func.return_type(&[WIDE])?;
                *field = Arc::new(field.as_ref().clone().with_data_type(data_type));
            }
            wide.push(expr);
        }

        let between = DFSchema::new_with_metadata(fields, between.metadata().clone())?;
        Ok(Sums { aggregates: wide, between, narrow })
    }

    /// The expression over the wide sums.
    fn narrow(&self, expr: Expr) -> DfResult<Expr> {
        let narrowed = expr.transform_up(|node| {
            let Expr::Column(column) = &node else { return Ok(Transformed::no(node)) };
            match self.narrow.iter().find(|(name, _)| *name == column.name) {
                Some((_, data_type)) => Ok(Transformed::yes(cast(node.clone(), data_type.clone()))),
                None => Ok(Transformed::no(node)),
            }
        })?;
        Ok(narrowed.data)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
    use arrow::datatypes::{Int64Type, TimeUnit};
    use datafusion::logical_expr::EmitTo;

    use super::*;
    use crate::window::{Aggregation, path_of};

    fn planned(sql: &str) -> Aggregation {
        let input = Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        ]);
        Aggregation::plan(&[("x".to_owned(), sql.to_owned())], &Arc::new(input)).unwrap()
    }

    /// The value over these numbers, or why there is none.
    fn value(sql: &str, numbers: &[i64]) -> Result<Option<i64>, String> {
        let aggregation = planned(sql);
        let times: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(vec![0; numbers.len()]).with_timezone("UTC"));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("n", Arc::new(Int64Array::from(numbers.to_vec()))),
            ("t", Arc::clone(&times)),
            ("__time", times),
        ];
        let rows = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)));
        let arguments = aggregation.arguments_of(&rows.unwrap()).map_err(|cause| cause.to_string())?;
        let values = aggregation.aggregates.iter().map(|aggregate| {
            let mut accumulator = aggregate.accumulator().unwrap();
            aggregate.update(accumulator.as_mut(), &arguments, &vec![0; numbers.len()], 1).unwrap();
            accumulator.evaluate(EmitTo::All).unwrap()
        });
        let (columns, failed) = aggregation.project(values.collect(), 1).unwrap();
        assert_eq!(failed.len(), columns.column(0).null_count());
        match failed.into_iter().next() {
            Some(failed) => {
                assert_eq!((failed.row, path_of(&failed.column)), (0, "window.select.x".into()));
                Err(failed.why)
            }
            None => Ok(columns.column(0).as_primitive::<Int64Type>().iter().next().unwrap()),
        }
    }

    /// Found by: users' cases. DataFusion's sums and operators wrap around without a word.
    #[test]
    fn integers_that_overflow_are_told_and_not_wrapped() {
        let large = 9_000_000_000_000_000_000;
        assert_eq!(value("sum(n)", &[large, 5, -large]), Ok(Some(5)));
        assert_eq!(value("sum(n) / 2", &[large, 100]), Ok(Some(large / 2 + 50)));
        // Only the result has to fit.
        assert_eq!(value("sum(n)", &[large, large, -large]), Ok(Some(large)));
        assert_eq!(value("sum(DISTINCT n)", &[large, large]), Ok(Some(large)));
        let overflow = [
            ("sum(n)", &[large, large][..]),
            ("sum(n) FILTER (WHERE n > 0)", &[large, large, -large]),
            ("sum(DISTINCT n) + 1", &[large, large - 1]),
            ("max(n) + max(n)", &[large]),
            ("min(n) - max(n)", &[large, -large]),
            ("max(n) * 10", &[large]),
            ("sum(n + n)", &[large]),
        ];
        for (sql, numbers) in overflow {
            let why = value(sql, numbers).unwrap_err().to_lowercase();
            assert!(
                why.contains("overflow") || why.contains("out of range") || why.contains("convert"),
                "{sql}: {why}"
            );
        }
        assert_eq!(value("max(n) / (count(*) - 1)", &[1, 4]), Ok(Some(4)));
        assert!(value("max(n) / (count(*) - 1)", &[1]).unwrap_err().to_lowercase().contains("zero"));
    }

    #[test]
    fn a_sum_of_integers_is_still_a_sum_where_nothing_is_said() {
        let aggregation = planned("sum(n) + 2 * count(*)");
        let quiet = aggregation.quiet_values()[0].as_ref().unwrap();
        assert_eq!(quiet.as_primitive::<Int64Type>().value(0), 0);
        assert_eq!(planned("increase(n)").quiet_values(), [None]);
    }

    #[test]
    fn meters_take_one_number_in_the_order_of_time() {
        for sql in ["increase(n ORDER BY n)", "delta(DISTINCT n)", "increase(n, t)", "delta()", "delta(t)"] {
            let input = planned("max(n)").input_schema().clone();
            let planned = Aggregation::plan(&[("x".to_owned(), sql.to_owned())], &input);
            let error = planned.err().unwrap_or_else(|| panic!("{sql} was planned")).to_string();
            assert!(error.contains("window.select.x"), "{error}");
        }
    }
}
