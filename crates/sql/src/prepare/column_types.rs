//! The types of columns that no schema names, found by the expressions that use them.
//! It must not look at a record.
//!
//! A column is a number wherever that makes sense. Where an expression cannot be planned so, the
//! first of its other columns' types is taken with which it can: a text, as in
//! `quality = 'ok'`, or a boolean, as in `NOT broken`.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tickcast_stream::error::Result;

use super::plan::Preparation;
use super::spec::{PrepareSpec, WHERE, path_of};
use crate::expression::{columns_of, conditions_of};
use crate::window::{Aggregation, path_of as select_path};

/// Types that are tried, in this order.
const TYPES: [DataType; 3] = [DataType::Float64, DataType::Utf8, DataType::Boolean];
/// Columns of one expression whose types can be found: each makes three times as many trials.
const COLUMNS_MAX: usize = 4;

/// All expressions in the order in which they are planned.
struct Expressions<'a> {
    spec: &'a PrepareSpec,
    select: &'a [(String, String)],
}

impl Expressions<'_> {
    fn count(&self) -> usize {
        self.spec.derive.len() + usize::from(self.spec.filter.is_some()) + self.select.len()
    }

    /// An expression and the path of its key.
    fn nth(&self, nth: usize) -> (String, &str) {
        let derived = self.spec.derive.len();
        match (nth.checked_sub(derived), &self.spec.filter) {
            (None, _) => (path_of(&self.spec.derive[nth].0), &self.spec.derive[nth].1),
            (Some(0), Some(filter)) => (WHERE.to_owned(), filter),
            (Some(later), filter) => {
                let (name, sql) = &self.select[later - usize::from(filter.is_some())];
                (select_path(name), sql)
            }
        }
    }

    /// The columns that an expression names, those that its derived columns name included.
    fn columns_of(&self, nth: usize) -> Result<BTreeSet<String>> {
        let (path, sql) = self.nth(nth);
        let mut names = columns_of(&path, sql)?;
        for (name, sql) in self.spec.derive[..nth.min(self.spec.derive.len())].iter().rev() {
            if names.remove(name) {
                names.extend(columns_of(&path_of(name), sql)?);
            }
        }
        Ok(names)
    }

    /// The columns that stand as conditions somewhere.
    fn conditions(&self) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for nth in 0..self.count() {
            let (path, sql) = self.nth(nth);
            names.extend(conditions_of(&path, sql)?);
        }
        Ok(names)
    }

    /// How many of the first expressions can be planned over records with these columns, each with
    /// the derived columns that it may name.
    fn planned(&self, columns: &[Field]) -> usize {
        let input: SchemaRef = Arc::new(Schema::new(columns.to_vec()));
        let PrepareSpec { derive, filter } = self.spec;
        let is_planned = |nth: usize| {
            let derive = derive[..derive.len().min(nth + 1)].to_vec();
            let filter = filter.clone().filter(|_| nth == derive.len());
            let selected = nth.checked_sub(self.count() - self.select.len());
            let select = selected.map_or(&[][..], |at| &self.select[at..=at]);
            is_planned(&PrepareSpec { derive, filter }, select, &input)
        };
        (0..self.count()).find(|&nth| !is_planned(nth)).unwrap_or(self.count())
    }
}

fn is_planned(spec: &PrepareSpec, select: &[(String, String)], input: &SchemaRef) -> bool {
    let attempt = || {
        // Of what is derived so far, all comes out: the last of it is what is tried.
        let mut wanted: BTreeSet<String> = spec.derive.iter().map(|(name, _)| name.clone()).collect();
        for (name, sql) in select {
            wanted.extend(columns_of(name, sql)?);
        }
        let wanted: Vec<String> = wanted.into_iter().collect();
        let preparation = Preparation::plan(spec, input, &wanted)?;
        if select.is_empty() {
            Ok(())
        } else {
            Aggregation::plan(select, preparation.output_schema()).map(drop)
        }
    };
    let outcome: Result<()> = attempt();
    outcome.is_ok()
}

/// `columns`, those of no known type, `untyped`, with the types that the expressions ask for. Where
/// none would do they stay numbers, and planning says what is wrong. Errors: `Query`, when an
/// expression does not parse.
pub fn infer_types(
    spec: &PrepareSpec,
    select: &[(String, String)],
    mut columns: Vec<Field>,
    untyped: &[String],
) -> Result<Vec<Field>> {
    let expressions = Expressions { spec, select };
    let conditions = expressions.conditions()?;
    for column in &mut columns {
        if conditions.contains(column.name()) && untyped.contains(column.name()) {
            *column = column.clone().with_data_type(DataType::Boolean);
        }
    }
    let input: SchemaRef = Arc::new(Schema::new(columns.clone()));
    if untyped.is_empty() || is_planned(spec, select, &input) {
        return Ok(columns);
    }

    let mut planned = expressions.planned(&columns);
    while planned < expressions.count() {
        let named = expressions.columns_of(planned)?;
        let open: Vec<usize> = (0..columns.len())
            .filter(|&at| named.contains(columns[at].name()) && untyped.contains(columns[at].name()))
            .collect();
        let better =
            (open.len() <= COLUMNS_MAX).then(|| better(&expressions, &columns, &open, planned)).flatten();
        let Some(found) = better else { return Ok(columns) };
        planned = expressions.planned(&found);
        columns = found;
    }
    Ok(columns)
}

/// Other types of the open columns, with which more can be planned; as few as can be are no
/// numbers.
fn better(
    expressions: &Expressions<'_>,
    columns: &[Field],
    open: &[usize],
    planned: usize,
) -> Option<Vec<Field>> {
    let mut choices: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in open {
        let longer = |choice: &Vec<usize>| {
            (0..TYPES.len()).map(|of| [&choice[..], &[of]].concat()).collect::<Vec<_>>()
        };
        choices = choices.iter().flat_map(longer).collect();
    }
    choices.sort_by_key(|choice| choice.iter().filter(|&&of| of > 0).count());

    choices.into_iter().find_map(|choice| {
        let mut tried = columns.to_vec();
        for (&at, of) in open.iter().zip(choice) {
            tried[at] = tried[at].clone().with_data_type(TYPES[of].clone());
        }
        (expressions.planned(&tried) > planned).then_some(tried)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(derive: &[(&str, &str)], filter: Option<&str>, select: &[(&str, &str)]) -> Vec<String> {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, sql)| ((*name).to_owned(), (*sql).to_owned())).collect()
        };
        let spec = PrepareSpec { derive: pairs(derive), filter: filter.map(str::to_owned) };
        let select = pairs(select);
        let mut wanted = BTreeSet::new();
        select.iter().for_each(|(name, sql)| wanted.extend(columns_of(name, sql).unwrap()));
        let wanted: Vec<String> = wanted.into_iter().collect();
        let names = spec.record_columns(&wanted).unwrap();
        let fields = names.iter().map(|name| Field::new(name, DataType::Float64, true)).collect();
        let typed = infer_types(&spec, &select, fields, &names).unwrap();
        typed.iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect()
    }

    #[test]
    fn a_column_is_a_number_unless_an_expression_asks_for_more() {
        let found = types(&[], None, &[("x", "avg(temp)"), ("n", "count(*) FILTER (WHERE wind > 3)")]);
        assert_eq!(found, ["temp Float64", "wind Float64"]);
        let found = types(&[], Some("quality = 'ok' AND NOT broken AND temp > -50"), &[("x", "avg(temp)")]);
        assert_eq!(found, ["broken Boolean", "quality Utf8", "temp Float64"]);
        let found = types(
            &[],
            None,
            &[("w", "count(*) FILTER (WHERE weather = 'rain')"), ("y", "count(*) FILTER (WHERE windy)")],
        );
        assert_eq!(found, ["weather Utf8", "windy Boolean"]);
    }

    #[test]
    fn what_derived_columns_are_made_of_has_a_type_too() {
        let found = types(
            &[("unit", "upper(trim(u))"), ("c", "CASE WHEN unit = 'F' THEN (t - 32) / 1.8 ELSE t END")],
            Some("c IS NOT NULL"),
            &[("temp", "avg(c)")],
        );
        assert_eq!(found, ["t Float64", "u Utf8"]);
    }

    #[test]
    fn what_no_type_helps_stays_a_number() {
        assert_eq!(types(&[], Some("nothing(a)"), &[("x", "avg(a)")]), ["a Float64"]);
    }
}
