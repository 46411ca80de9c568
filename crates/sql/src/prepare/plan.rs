//! `derive` and `where` planned: expressions over a record's own columns.
//! It must not know batches' system columns, nor what a failure means.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::plan_err;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::ident;
use tickcast_stream::error::{Error, Kind, OrFail, Result};

use super::spec::{PrepareSpec, WHERE, path_of};
use crate::depth::on_a_deep_stack;
use crate::expression;
use crate::fault::tolerated;

/// What is done with the data columns of a batch of records.
pub struct Preparation {
    filter: Option<Arc<dyn PhysicalExpr>>,
    columns: Vec<Arc<dyn PhysicalExpr>>,
    output: SchemaRef,
}

/// Derived columns by name, each over the record's own columns.
type Derived = BTreeMap<String, (Expr, DataType)>;

impl Preparation {
    /// Plans for records with these data columns; `wanted` are the columns that come out, in order.
    /// Errors: `Query`, naming the key, when an expression cannot be planned or run.
    pub fn plan(spec: &PrepareSpec, input: &SchemaRef, wanted: &[String]) -> Result<Self> {
        on_a_deep_stack(|| Self::planned(spec, input, wanted))
    }

    fn planned(spec: &PrepareSpec, input: &SchemaRef, wanted: &[String]) -> Result<Self> {
        let of_records = DFSchema::try_from_qualified_schema("source", input)
            .or_fail(Kind::Query, || "the columns of a record do not fit together")?;
        let mut derived = Derived::new();
        for (column, sql) in &spec.derive {
            let path = path_of(column);
            expression::parse(&path, sql)?;
            let planned = derive(sql, input, &derived, &of_records);
            derived.insert(column.clone(), planned.map_err(|cause| expression::at(&path, cause))?);
        }

        let fail = |cause| expression::at(WHERE, cause);
        let filter = spec.filter.as_deref().map(|sql| {
            expression::parse(WHERE, sql)?;
            condition(sql, input, &derived, &of_records).map_err(fail)
        });
        let filter = filter.transpose()?;
        let (columns, fields): (Vec<_>, Vec<_>) = wanted
            .iter()
            .map(|name| column(name, &derived, &of_records))
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .unzip();

        let preparation = Preparation { filter, columns, output: Arc::new(Schema::new(fields)) };
        preparation.try_on_nothing(input, wanted)?;
        Ok(preparation)
    }

    /// Some functions can be planned and not be run: that is told before the first record.
    fn try_on_nothing(&self, input: &SchemaRef, wanted: &[String]) -> Result<()> {
        let nulls = input.fields().iter().map(|field| new_null_array(field.data_type(), 1)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let of_nulls = RecordBatch::try_new_with_options(nullable(input), nulls, &options)
            .or_fail(Kind::Query, || "the columns of a record do not fit together")?;

        let nothing = of_nulls.slice(0, 0);
        let tried = self.keeps(&nothing).and_then(|_| tolerated(self.keeps(&of_nulls)));
        tried.map_err(|cause| expression::at(WHERE, cause))?;
        for (name, expr) in wanted.iter().zip(&self.columns) {
            let tried = value(expr, &nothing).and_then(|_| tolerated(value(expr, &of_nulls)));
            tried.map_err(|cause| expression::at(&path_of(name), cause))?;
        }
        Ok(())
    }

    /// The data columns that come out.
    pub fn output_schema(&self) -> &SchemaRef {
        &self.output
    }

    /// Which rows count; none: all of them. Errors: a record's own, such as a text that is no
    /// number; each row is judged alone.
    pub fn keeps(&self, rows: &RecordBatch) -> DfResult<Option<BooleanArray>> {
        let Some(filter) = &self.filter else { return Ok(None) };
        Ok(Some(as_boolean_array(&value(filter, rows)?)?.clone()))
    }

    /// The columns that come out of rows that count. Errors: as [`Preparation::keeps`].
    pub fn columns(&self, rows: &RecordBatch) -> DfResult<Vec<ArrayRef>> {
        self.columns.iter().map(|expr| value(expr, rows)).collect()
    }
}

fn nullable(input: &Schema) -> SchemaRef {
    let fields = input.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn value(expr: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> DfResult<ArrayRef> {
    expr.evaluate(rows)?.into_array(rows.num_rows())
}

/// An expression over a record's own columns: those that are derived are put in their places.
fn over_records(sql: &str, input: &SchemaRef, derived: &Derived) -> DfResult<Expr> {
    let kept = input.fields().iter().filter(|field| !derived.contains_key(field.name()));
    let mut fields: Vec<Field> = kept.map(|field| field.as_ref().clone()).collect();
    fields.extend(derived.iter().map(|(name, (_, data_type))| Field::new(name, data_type.clone(), true)));
    let expr = expression::scalar(sql, &Arc::new(Schema::new(fields)))?;

    let replaced = expr.transform_up(|node| match &node {
        Expr::Column(column) => Ok(match derived.get(&column.name) {
            Some((expr, _)) => Transformed::yes(expr.clone()),
            None => Transformed::no(node),
        }),
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(replaced.data)
}

fn derive(
    sql: &str,
    input: &SchemaRef,
    derived: &Derived,
    of_records: &DFSchema,
) -> DfResult<(Expr, DataType)> {
    let expr = over_records(sql, input, derived)?;
    let data_type = expr.get_type(of_records)?;
    Ok((expr, data_type))
}

fn condition(
    sql: &str,
    input: &SchemaRef,
    derived: &Derived,
    of_records: &DFSchema,
) -> DfResult<Arc<dyn PhysicalExpr>> {
    let expr = over_records(sql, input, derived)?;
    match expr.get_type(of_records)? {
        DataType::Boolean => expression::physical(&expr, of_records),
        other => plan_err!("a condition is true or false; this is {other}"),
    }
}

/// A column that comes out, as it is or derived.
fn column(name: &str, derived: &Derived, of_records: &DFSchema) -> Result<(Arc<dyn PhysicalExpr>, Field)> {
    let fail = |cause: DataFusionError| expression::at(&path_of(name), cause);
    let (expr, data_type) = match derived.get(name) {
        Some((expr, data_type)) => (expr.clone(), data_type.clone()),
        None => {
            let field = of_records.field_with_unqualified_name(name);
            let data_type = field.map(|field| field.data_type().clone());
            let fail = |_| Error::new(Kind::Query, format!("a record has no column {name}"));
            (ident(name), data_type.map_err(fail)?)
        }
    };
    if matches!(data_type, DataType::Null) {
        return Err(Error::new(Kind::Query, format!("{}: it is always null", path_of(name))));
    }
    Ok((expression::physical(&expr, of_records).map_err(fail)?, Field::new(name, data_type, true)))
}
