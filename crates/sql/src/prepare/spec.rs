//! What is asked for before windows, checked.
//! It must not know the pipeline file that it comes from.

use std::collections::BTreeSet;

use serde::Serialize;
use tickcast_stream::error::Result;

use crate::expression::columns_of;

/// The path of the key `where`, for messages.
pub(super) const WHERE: &str = "where";

/// The path of a derived column's key, for messages.
pub(super) fn path_of(column: &str) -> String {
    format!("derive.{column}")
}

/// Which records count, and the columns that are derived from theirs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PrepareSpec {
    /// Derived columns and their SQL expressions, in order. Each sees those before it, and replaces
    /// a column of the record that has its name.
    pub derive: Vec<(String, String)>,
    /// An SQL condition: records of which it is not true are left out. It sees all derived columns.
    #[serde(rename = "where")]
    pub filter: Option<String>,
}

impl PrepareSpec {
    /// Whether records are taken as they are.
    pub fn is_empty(&self) -> bool {
        self.derive.is_empty() && self.filter.is_none()
    }

    /// The columns that a record has to have, so that these columns are there for the windows;
    /// sorted. Errors: `Query`, when an expression does not parse.
    pub fn record_columns(&self, wanted: &[String]) -> Result<Vec<String>> {
        let (mut known, mut of_record) = (BTreeSet::new(), BTreeSet::new());
        for (column, sql) in &self.derive {
            let names = columns_of(&path_of(column), sql)?;
            of_record.extend(names.into_iter().filter(|name| !known.contains(name)));
            known.insert(column.clone());
        }

        let filter = self.filter.as_deref().map(|sql| columns_of(WHERE, sql)).transpose()?;
        let last = filter.into_iter().flatten().chain(wanted.iter().cloned());
        of_record.extend(last.filter(|name| !known.contains(name)));
        Ok(of_record.into_iter().collect())
    }
}

impl PrepareSpec {
    /// The columns of a record that these columns are made of, without what only `where` asks for;
    /// sorted. Errors: `Query`, when an expression does not parse.
    pub fn of_records(&self, wanted: &[String]) -> Result<Vec<String>> {
        let mut names: BTreeSet<String> = wanted.iter().cloned().collect();
        for (column, sql) in self.derive.iter().rev() {
            if names.remove(column) {
                names.extend(columns_of(&path_of(column), sql)?);
            }
        }
        Ok(names.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_needs_what_is_not_derived_before_it_is_used() {
        let derive = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, sql)| ((*name).to_owned(), (*sql).to_owned())).collect()
        };
        let spec = PrepareSpec {
            derive: derive(&[("c", "(f - 32) / 1.8"), ("k", "c + zero"), ("temp", "temp / 10")]),
            filter: Some("quality = 'ok' AND k > 0".into()),
        };
        let wanted = ["c", "temp", "wind"].map(str::to_owned);
        assert_eq!(spec.record_columns(&wanted).unwrap(), ["f", "quality", "temp", "wind", "zero"]);
    }
}
