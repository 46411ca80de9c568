//! SQL expressions over columns: parsed, planned, simplified, and held to be pure.
//! It must not know what is done with their values.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, plan_err};
use datafusion::datasource::MemTable;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::expressions::BinaryExpr;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, visit_expressions};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use futures::executor::block_on;
use tickcast_stream::error::{Error, Kind, OrFail, Result};

use crate::column_names::quote_names;
use crate::depth;
use crate::fault::failure_text;
use crate::meter;

/// The words of an expression, at most: workers run it on stacks of the usual size.
pub const WORDS_MAX: usize = 500;

/// The path of the key `time.expr`, for messages.
pub const TIME: &str = "time.expr";

/// An expression and the path of the key that has it, for messages. Every name of a column in it is
/// one identifier.
pub fn parse(path: &str, sql: &str) -> Result<SqlExpr> {
    let mut expr = parse_as_it_is(path, sql)?;
    quote_names(&mut expr);
    Ok(expr)
}

fn parse_as_it_is(path: &str, sql: &str) -> Result<SqlExpr> {
    let fail = || path.to_owned();
    depth::check(sql, WORDS_MAX).or_fail(Kind::Query, fail)?;
    let mut parser = Parser::new(&GenericDialect {}).try_with_sql(sql).or_fail(Kind::Query, fail)?;
    let expr = parser.parse_expr().or_fail(Kind::Query, fail)?;
    match parser.peek_token().token {
        Token::EOF => Ok(expr),
        other => Err(Error::new(Kind::Query, format!("{path}: unexpected {other} after the expression"))),
    }
}

/// The expression as the planner is to read it: as it is written, but for names of columns that it
/// would take for something else.
pub fn for_planner(sql: &str) -> Cow<'_, str> {
    let Ok(mut expr) = parse_as_it_is("", sql) else { return Cow::Borrowed(sql) };
    if quote_names(&mut expr) { Cow::Owned(expr.to_string()) } else { Cow::Borrowed(sql) }
}

/// The columns that an expression names. Errors: `Query`, when it does not parse.
pub fn columns_of(path: &str, sql: &str) -> Result<BTreeSet<String>> {
    let expr = parse(path, sql)?;
    let mut names = BTreeSet::new();
    let _ = visit_expressions(&expr, |node| {
        if let SqlExpr::Identifier(ident) = node {
            names.insert(ident.value.clone());
        }
        ControlFlow::<()>::Continue(())
    });
    Ok(names)
}

/// The columns that stand alone where a condition stands: in a `FILTER`, after `WHEN`. The planner
/// takes a number there, too.
pub fn conditions_of(path: &str, sql: &str) -> Result<BTreeSet<String>> {
    let expr = parse(path, sql)?;
    let mut names = BTreeSet::new();
    let mut note = |condition: &SqlExpr| {
        if let SqlExpr::Identifier(ident) = condition {
            names.insert(ident.value.clone());
        }
    };
    let _ = visit_expressions(&expr, |node| {
        match node {
            SqlExpr::Function(call) => call.filter.iter().for_each(|filter| note(filter)),
            SqlExpr::Case { operand: None, conditions, .. } => {
                conditions.iter().for_each(|when| note(&when.condition));
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });

    Ok(names)
}

/// A `Query` error of the expression at this path.
pub fn at(path: &str, cause: datafusion::error::DataFusionError) -> Error {
    Error::new(Kind::Query, path).because(failure_text(&cause))
}

/// The key whose expression a `Query` error is about, as in `derive.celsius`; none where it names
/// none.
pub fn key_of(error: &Error) -> Option<Vec<String>> {
    let text = error.to_string();
    let key = text.split(": ").nth(1)?;
    let is_ours =
        ["where", TIME].contains(&key) || ["window.select.", "derive."].iter().any(|of| key.starts_with(of));
    is_ours.then(|| key.split('.').map(str::to_owned).collect())
}

/// The analysed plan of `SELECT <what> FROM source`, where `source` has these columns.
pub fn analyzed(select: &str, input: &Schema) -> DfResult<LogicalPlan> {
    let mut config = SessionConfig::new();
    // A column is written as it is named: no folding to lower case.
    config.options_mut().sql_parser.enable_ident_normalization = false;
    let context = SessionContext::new_with_config(config);
    meter::functions().into_iter().for_each(|function| context.register_udaf(function));
    let table = MemTable::try_new(Arc::new(input.clone()), vec![vec![]])?;
    context.register_table("source", Arc::new(table))?;

    let state = context.state();
    let plan = block_on(state.create_logical_plan(select))?;
    // Type coercion happens in the analyzer: without it `a > 1` fails on types.
    state.analyzer().execute_and_check(plan, &state.config_options().clone(), |_, _| {})
}

/// An expression over one row of `input`, planned. Errors: also when it has an aggregate, or could
/// differ from run to run.
pub fn scalar(sql: &str, input: &SchemaRef) -> DfResult<Expr> {
    let sql = for_planner(sql);
    let LogicalPlan::Projection(projection) =
        analyzed(&format!("SELECT ({sql}) AS value FROM source"), input)?
    else {
        return plan_err!("this is no expression over the columns of one record");
    };
    if !matches!(*projection.input, LogicalPlan::TableScan(_)) {
        return plan_err!(
            "this is no expression over the columns of one record: aggregates belong in window.select"
        );
    }

    let Some(expr) = projection.expr.first() else { return plan_err!("this is no expression") };
    must_be_pure(expr)?;
    simplified(expr.clone().unalias(), projection.input.schema())
}

/// The same value by fewer steps. Some functions, `coalesce` and `nvl` among them, can only be run
/// in their simplified form.
pub fn simplified(expr: Expr, input: &DFSchema) -> DfResult<Expr> {
    let context = SimplifyContext::builder().with_schema(Arc::new(input.clone())).build();
    ExprSimplifier::new(context).simplify(expr)
}

/// An aggregate whose arguments are simplified; it is itself as it was.
pub fn with_simple_arguments(aggregate: Expr, input: &DFSchema) -> DfResult<Expr> {
    aggregate.map_children(|child| simplified(child, input).map(Transformed::yes)).map(|done| done.data)
}

/// An expression that can be run on batches of `input`.
pub fn physical(expr: &Expr, input: &DFSchema) -> DfResult<Arc<dyn PhysicalExpr>> {
    let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
    checked(create_physical_expr(expr, input, &props, &context)?)
}

/// The same expression, in which an integer that overflows is an error. As it is planned it wraps
/// around.
pub fn checked(expr: Arc<dyn PhysicalExpr>) -> DfResult<Arc<dyn PhysicalExpr>> {
    let checked = expr.transform_up(|node| {
        Ok(match node.downcast_ref::<BinaryExpr>() {
            Some(binary) => Transformed::yes(Arc::new(binary.clone().with_fail_on_overflow(true)) as _),
            None => Transformed::no(node),
        })
    })?;
    Ok(checked.data)
}

/// Refuses functions whose value is not decided by their arguments: output must be a function of
/// the records.
pub fn must_be_pure(expr: &Expr) -> DfResult<()> {
    expr.apply(|node| match node {
        Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable => {
            plan_err!(
                "{}() differs from run to run; a window's row must depend on its records alone",
                call.func.name()
            )
        }
        Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) => {
            plan_err!("subqueries are not allowed here")
        }
        _ => Ok(TreeNodeRecursion::Continue),
    })?;

    Ok(())
}
