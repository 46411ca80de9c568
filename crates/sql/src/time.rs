//! Event times by an SQL expression over a record's columns: planned, tried, and computed.
//! It must not know how a text or a number is read as a time: it only makes the values.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatchOptions, new_empty_array, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, plan_err};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::physical_expr::PhysicalExpr;
use tickcast_stream::error::{Kind, OrFail, Result};

use crate::depth::on_a_deep_stack;
use crate::expression::{self, TIME, columns_of};
use crate::fault::{failure_text, tolerated};
use crate::prepare::{PrepareSpec, infer_types};

/// An expression whose values are event times, as records write them.
pub struct TimeExpression {
    columns: Vec<Field>,
    expr: Arc<dyn PhysicalExpr>,
}

/// Values of rows, and the rows whose own value is null because computing it failed, with why.
pub type Values = (ArrayRef, Vec<(usize, String)>);

impl TimeExpression {
    /// The columns that an expression names. Errors: `Query`, when it does not parse.
    pub fn columns_of(sql: &str) -> Result<Vec<String>> {
        Ok(columns_of(TIME, sql)?.into_iter().collect())
    }

    /// Plans it over these columns; those that no schema names, `untyped`, get the types that it
    /// asks for. Errors: `Query`, when it cannot be planned or run, or its value is no time.
    pub fn plan(sql: &str, columns: Vec<Field>, untyped: &[String]) -> Result<Self> {
        expression::parse(TIME, sql)?;
        let columns = if untyped.is_empty() { columns } else { typed(sql, columns, untyped)? };
        on_a_deep_stack(|| {
            let planned = plan(sql, &columns).map_err(|cause| expression::at(TIME, cause))?;
            Ok(TimeExpression { columns, expr: planned.1 })
        })
    }

    /// The columns that it needs, in order, with their types.
    pub fn columns(&self) -> &[Field] {
        &self.columns
    }

    /// The values of rows with these columns. Each row is judged alone.
    pub fn values(&self, rows: &RecordBatch) -> Result<Values> {
        if let Ok(values) = value(&self.expr, rows) {
            return Ok((values, Vec::new()));
        }

        let mut failed = Vec::new();
        let mut values: Vec<Option<ArrayRef>> = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            let one = value(&self.expr, &rows.slice(row, 1));
            failed.extend(one.as_ref().err().map(|why| (row, failure_text(why))));
            values.push(one.ok());
        }

        let data_type = self.expr.data_type(&rows.schema()).or_fail(Kind::Query, || TIME)?;
        let null = new_null_array(&data_type, 1);
        let all: Vec<_> = values.iter().map(|one| one.as_ref().unwrap_or(&null).as_ref()).collect();
        let all = if all.is_empty() { Ok(new_empty_array(&data_type)) } else { concat(&all) };
        Ok((all.or_fail(Kind::Query, || TIME)?, failed))
    }
}

fn value(expr: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> DfResult<ArrayRef> {
    expr.evaluate(rows)?.into_array(rows.num_rows())
}

/// The columns with types. What the expression makes a text of is read as the text that it is: as
/// a number `07` would be `7.0`.
fn typed(sql: &str, columns: Vec<Field>, untyped: &[String]) -> Result<Vec<Field>> {
    let spec = PrepareSpec { derive: vec![("time".to_owned(), sql.to_owned())], filter: None };
    let numbers = infer_types(&spec, &[], columns, untyped)?;
    on_a_deep_stack(|| {
        let Ok((expr, _)) = plan(sql, &numbers) else { return Ok(numbers) };
        let made = made_texts(&expr);
        let mut either = made.clone();
        note_values(&expr, &mut either);

        let as_texts = |names: &BTreeSet<String>| -> Vec<Field> {
            let is_text = |column: &Field| names.contains(column.name()) && untyped.contains(column.name());
            let text = |column: &Field| column.clone().with_data_type(DataType::Utf8);
            numbers.iter().map(|column| if is_text(column) { text(column) } else { column.clone() }).collect()
        };
        let choices = [either, made].map(|names| as_texts(&names));
        Ok(choices.into_iter().find(|columns| plan(sql, columns).is_ok()).unwrap_or(numbers))
    })
}

/// The columns whose values may be the expression's own. A number that is written is as good as one
/// that is read: its value is read as a time either way.
fn note_values(expr: &Expr, names: &mut BTreeSet<String>) {
    match expr {
        Expr::Column(column) => _ = names.insert(column.name.clone()),
        Expr::Case(case) => {
            let branches = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
            branches.for_each(|branch| note_values(branch, names));
        }
        _ => {}
    }
}

/// The columns that are cast to text, and those that are read in a format.
fn made_texts(expr: &Expr) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let _ = expr.apply(|node| {
        let text = match node {
            Expr::Cast(cast) if is_text(cast.field.data_type()) => Some(cast.expr.as_ref()),
            Expr::ScalarFunction(call) if call.name().starts_with("to_") && call.args.len() > 1 => {
                call.args.first()
            }
            _ => None,
        };
        if let Some(Expr::Column(column)) = text {
            names.insert(column.name.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    names
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The expression, planned and tried: some functions can be planned and not be run.
fn plan(sql: &str, columns: &[Field]) -> DfResult<(Expr, Arc<dyn PhysicalExpr>)> {
    let input: SchemaRef = Arc::new(Schema::new(columns.to_vec()));
    let of_records = DFSchema::try_from_qualified_schema("source", &input)?;
    let expr = expression::scalar(sql, &input)?;
    match expr.get_type(&of_records)? {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {}
        other if is_text(&other) || other.is_numeric() => {}
        other => return plan_err!("a time is a text, a number, a date or a timestamp; this is {other}"),
    }

    let physical = expression::physical(&expr, &of_records)?;
    let nulls = columns.iter().map(|field| new_null_array(field.data_type(), 1)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let one = RecordBatch::try_new_with_options(input, nulls, &options)?;
    value(&physical, &one.slice(0, 0))?;
    tolerated(value(&physical, &one))?;
    Ok((expr, physical))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(sql: &str) -> Result<TimeExpression> {
        let names = TimeExpression::columns_of(sql)?;
        let fields = names.iter().map(|name| Field::new(name, DataType::Float64, true)).collect();
        TimeExpression::plan(sql, fields, &names)
    }

    fn types(sql: &str) -> String {
        let planned = planned(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let types = planned.columns().iter().map(|field| format!("{} {}", field.name(), field.data_type()));
        types.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_is_made_a_text_is_read_as_the_text_that_it_is() {
        for (sql, found) in [
            ("concat(date, ' ', hour, ':00')", "date Utf8, hour Utf8"),
            ("date || ' ' || hour", "date Utf8, hour Utf8"),
            ("concat(date, 'T', lpad(hour, 2, '0'))", "date Utf8, hour Utf8"),
            ("to_timestamp(concat(date, 'T', hour, ':00:00'))", "date Utf8, hour Utf8"),
            ("to_timestamp(t, '%d.%m.%Y %H:%M')", "t Utf8"),
            ("to_timestamp_seconds(year * 31536000 + day * 86400)", "day Float64, year Float64"),
            ("make_date(y, m, d)", "d Utf8, m Utf8, y Utf8"),
            ("jd - 2440587.5", "jd Float64"),
            ("coalesce(measured, received)", "measured Utf8, received Utf8"),
            ("CASE WHEN n > 0 THEN t END", "n Float64, t Utf8"),
            ("substr(t, 1, 10)", "t Utf8"),
            ("replace(t, 'h', ':')", "t Utf8"),
            ("CASE WHEN utc THEN t ELSE t - 3600 END", "t Float64, utc Boolean"),
            ("cast(t AS VARCHAR)", "t Utf8"),
        ] {
            let types = types(sql);
            assert_eq!(types, found, "{sql}");
        }
    }

    #[test]
    fn what_is_no_time_or_no_expression_is_refused_with_the_key() {
        for (sql, said) in [
            ("t > 1", "a time is a text, a number, a date or a timestamp; this is Boolean"),
            ("max(t)", "aggregates belong in window.select"),
            ("now()", "differs from run to run"),
            ("concat(t", "time.expr"),
            ("tee(t)", "time.expr"),
        ] {
            let error = planned(sql).err().unwrap().to_string();
            assert!(error.contains(said) && error.contains("time.expr"), "{sql}: {error}");
        }
    }
}
