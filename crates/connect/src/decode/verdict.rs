//! Verdicts: which rows of a batch are rejected, which cells are null because they cannot be read,
//! and why.
//! It must not know how a row was judged.

use tickcast_stream::message::Reason;

/// Characters of a value that a person gets to see.
const SHOWN_CHARS: usize = 40;

/// One verdict a row; a row's first verdict stands.
#[derive(Debug)]
pub(super) struct Verdicts {
    rows: Vec<Option<(Reason, String)>>,
    rejected: usize,
    cells: Vec<CellVerdict>,
}

/// A cell that is null because it cannot be read.
#[derive(Debug)]
pub(super) struct CellVerdict {
    pub(super) row: usize,
    /// The place of its data column.
    pub(super) column: usize,
    /// Of the first cell of its column alone.
    pub(super) detail: Option<String>,
}

impl Verdicts {
    pub(super) fn new(rows: usize) -> Self {
        Verdicts { rows: vec![None; rows], rejected: 0, cells: Vec::new() }
    }

    /// One more row, which is good so far.
    pub(super) fn add_row(&mut self) {
        self.rows.push(None);
    }

    /// Rejects the row, unless it is rejected already.
    pub(super) fn reject(&mut self, row: usize, reason: Reason, detail: impl FnOnce() -> String) {
        if self.rows[row].is_none() {
            self.rows[row] = Some((reason, detail()));
            self.rejected += 1;
        }
    }

    /// Notes that a cell is null because it cannot be read.
    pub(super) fn blank(&mut self, row: usize, column: usize, detail: impl FnOnce() -> String) {
        let is_first = !self.cells.iter().any(|cell| cell.column == column && cell.detail.is_some());
        self.cells.push(CellVerdict { row, column, detail: is_first.then(detail) });
    }

    /// The cells that are null because they cannot be read.
    pub(super) fn take_cells(&mut self) -> Vec<CellVerdict> {
        std::mem::take(&mut self.cells)
    }

    pub(super) fn all_good(&self) -> bool {
        self.rejected == 0
    }

    /// For every row, whether it is still good.
    pub(super) fn good(&self) -> impl Iterator<Item = bool> {
        self.rows.iter().map(Option::is_none)
    }
}

impl IntoIterator for Verdicts {
    type Item = Option<(Reason, String)>;
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.rows.into_iter()
    }
}

/// A value in backticks, on one line, cut where it is long.
pub(super) fn quote(value: &str) -> String {
    let mut shown: String = value.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
    if value.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// What stands around a byte of a text, in backticks, on one line.
pub(super) fn quote_around(text: &str, at: usize) -> String {
    let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let before = text[..at].char_indices().rev().take(SHOWN_CHARS / 2).last().map_or(at, |(start, _)| start);
    let after = text[at..].char_indices().nth(SHOWN_CHARS / 2).map_or(text.len(), |(end, _)| at + end);
    let shown: String = text[before..after].chars().flat_map(char::escape_debug).collect();
    let mark = |is_cut| if is_cut { "…" } else { "" };
    format!("`{}{shown}{}`", mark(before > 0), mark(after < text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_verdict_of_a_row_stands() {
        let mut verdicts = Verdicts::new(2);
        verdicts.reject(1, Reason::BadTime, || "first".into());
        verdicts.reject(1, Reason::Future, || "second".into());
        assert!(!verdicts.all_good());
        assert_eq!(verdicts.good().collect::<Vec<_>>(), [true, false]);
        let rows: Vec<_> = verdicts.into_iter().collect();
        assert_eq!(rows, [None, Some((Reason::BadTime, "first".into()))]);
    }

    #[test]
    fn of_a_column_the_first_cell_says_why() {
        let mut verdicts = Verdicts::new(2);
        for row in 0..2 {
            verdicts.blank(row, 5, || format!("row {row}"));
        }
        let cells = verdicts.take_cells();
        let said: Vec<_> = cells.iter().map(|cell| (cell.row, cell.detail.as_deref())).collect();
        assert_eq!(said, [(0, Some("row 0")), (1, None)]);
        assert!(verdicts.all_good());
    }

    #[test]
    fn a_quoted_value_is_short_and_on_one_line() {
        assert_eq!(quote("a\nb"), "`a\\nb`");
        assert_eq!(quote(&"x".repeat(40)), format!("`{}`", "x".repeat(40)));
        assert_eq!(quote(&"x".repeat(41)), format!("`{}…`", "x".repeat(40)));
    }

    #[test]
    fn a_fault_is_quoted_with_what_stands_around_it() {
        assert_eq!(quote_around("{\"a\":nan}", 5), "`{\\\"a\\\":nan}`");
        let long = format!("{}é!{}", "a".repeat(50), "b".repeat(50));
        assert_eq!(quote_around(&long, 51), format!("`…{}é!{}…`", "a".repeat(20), "b".repeat(18)));
        assert_eq!(quote_around("", 9), "``");
    }
}
