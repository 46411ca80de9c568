//! Verdicts: which rows of a batch are rejected, and why.
//! It must not know how a row was judged.

use tickcast_stream::message::Reason;

/// Characters of a value that a person gets to see.
const SHOWN_CHARS: usize = 40;

/// One verdict a row; a row's first verdict stands.
#[derive(Debug)]
pub(super) struct Verdicts {
    rows: Vec<Option<(Reason, String)>>,
    rejected: usize,
}

impl Verdicts {
    pub(super) fn new(rows: usize) -> Self {
        Verdicts { rows: vec![None; rows], rejected: 0 }
    }

    /// Rejects the row, unless it is rejected already.
    pub(super) fn reject(&mut self, row: usize, reason: Reason, detail: impl FnOnce() -> String) {
        if self.rows[row].is_none() {
            self.rows[row] = Some((reason, detail()));
            self.rejected += 1;
        }
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
    fn a_quoted_value_is_short_and_on_one_line() {
        assert_eq!(quote("a\nb"), "`a\\nb`");
        assert_eq!(quote(&"x".repeat(40)), format!("`{}`", "x".repeat(40)));
        assert_eq!(quote(&"x".repeat(41)), format!("`{}…`", "x".repeat(40)));
    }
}
