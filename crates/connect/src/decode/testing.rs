//! What the tests of formats share: what is wanted, and the rows of a payload as text.
//! It must not know a format.

use super::cell::Cell;
use super::payloads::ReadFields;
use super::shape::Shape;
use super::wanted::Wanted;

/// These fields, and the elements of a list.
pub(super) fn wanted(fields: &[&str], unnest: Option<&str>) -> Wanted {
    let fields: Vec<String> = fields.iter().map(|name| (*name).to_owned()).collect();
    Wanted::new(&fields, &Shape { unnest: unnest.map(str::to_owned), ..Shape::default() })
}

/// The cells of every row as text, or why there is none.
pub(super) fn rows_of<'a>(
    batch: &mut impl ReadFields<'a>,
    fields: usize,
    payload: &'a [u8],
) -> Result<Vec<Vec<String>>, String> {
    if let Some(reason) = batch.read(payload)? {
        return Ok(vec![vec![reason.to_string()]]);
    }
    let text = |cell: Cell<'_>| match cell {
        Cell::Null => "-".to_owned(),
        Cell::Nested => "{}".to_owned(),
        _ => cell.said().map_or_else(|| "bytes".to_owned(), |text| text.into_owned()),
    };
    let mut rows = Vec::new();
    while let Some(row) = batch.next_row() {
        rows.push(match row.fault {
            Some(fault) => vec![fault],
            None => (0..fields).map(|field| text(batch.cell(field))).collect(),
        });
    }
    Ok(rows)
}
