//! Cells that are null because they cannot be read, gathered by their columns.
//! It must not know why one cannot be read.

use std::collections::BTreeMap;

use arrow::datatypes::Schema;

use crate::decode::BlankCell;

/// The cells of a column that are null because they cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlankColumn {
    /// The column's name.
    pub column: String,
    /// How many there are.
    pub cells: u64,
    /// What is wrong with the first of them, where that is known.
    pub detail: Option<String>,
}

/// The cells of rows with these columns, by column.
pub(super) fn by_column(cells: Vec<BlankCell>, schema: &Schema) -> Vec<BlankColumn> {
    let mut columns: BTreeMap<usize, BlankColumn> = BTreeMap::new();
    for BlankCell { column, detail, .. } in cells {
        let name = || schema.fields().get(column).map(|field| field.name().clone()).unwrap_or_default();
        let counted =
            columns.entry(column).or_insert_with(|| BlankColumn { column: name(), cells: 0, detail: None });
        counted.cells += 1;
        counted.detail = counted.detail.take().or(detail);
    }
    columns.into_values().collect()
}
