//! The names of series: of one column, of several, or of none.
//! It must not know what a series is made of.

use serde::Serialize;
use tickcast_stream::message::Reason;

use super::cell::Cell;
use super::verdict::Verdicts;

/// The longest name of a series, in bytes: it is the key of every record that leaves, and in its
/// value again.
const MAX_BYTES: usize = 1024;

/// Stands between the parts of a name that several columns make.
const BETWEEN: char = '/';

/// What names a record's series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum SeriesKey {
    /// The values of these columns, at least one; of several with `/` between them.
    Columns(Vec<String>),
    /// Nothing: all records are of the series of this name.
    One {
        /// The name.
        series: String,
    },
}

impl SeriesKey {
    /// The column that names the series alone.
    pub fn column(name: impl Into<String>) -> Self {
        SeriesKey::Columns(vec![name.into()])
    }

    /// The columns that name a series.
    pub fn columns(&self) -> &[String] {
        match self {
            SeriesKey::Columns(columns) => columns,
            SeriesKey::One { .. } => &[],
        }
    }
}

/// The name of the row's series, which may be put together in `name`; where it has none the row is
/// rejected. `cell` is the value of a column by its place in the key.
pub(super) fn name_of<'n>(
    (row, key): (usize, &'n SeriesKey),
    cell: impl Fn(usize) -> Cell<'n>,
    name: &'n mut String,
    verdicts: &mut Verdicts,
) -> Option<&'n str> {
    let columns = match key {
        SeriesKey::Columns(columns) => columns,
        SeriesKey::One { series } => return Some(series),
    };
    if let [_] = &columns[..]
        && let Cell::Text(text) = cell(0)
        && (1..=MAX_BYTES).contains(&text.len())
    {
        return Some(text);
    }

    name.clear();
    for (at, column) in columns.iter().enumerate() {
        let cell = cell(at);
        let said = cell.said();
        let Some(part) = said.as_deref().filter(|part| !part.is_empty()) else {
            refuse(row, column, cell, verdicts);
            return None;
        };
        if at > 0 {
            name.push(BETWEEN);
        }
        push_part(name, part, columns.len() > 1);
    }

    if name.len() > MAX_BYTES {
        verdicts.reject(row, Reason::TooLarge, || {
            let columns = columns.join("`, `");
            format!("the key `{columns}` has {} bytes, {MAX_BYTES} are allowed", name.len())
        });
        return None;
    }
    Some(name)
}

/// Of several parts the mark between them is escaped: no two keys make one name.
fn push_part(name: &mut String, part: &str, is_escaped: bool) {
    if !is_escaped || !part.contains([BETWEEN, '\\']) {
        name.push_str(part);
        return;
    }
    for letter in part.chars() {
        if letter == BETWEEN || letter == '\\' {
            name.push('\\');
        }
        name.push(letter);
    }
}

#[cold]
fn refuse(row: usize, column: &str, cell: Cell<'_>, verdicts: &mut Verdicts) {
    let (reason, fault) = match cell {
        Cell::Nested => (Reason::Undecodable, "an object or a list, which names nothing"),
        Cell::Bytes(bytes) if !bytes.is_empty() => (Reason::MissingKey, "not UTF-8"),
        Cell::Null => (Reason::MissingKey, "missing or null"),
        _ => (Reason::MissingKey, "empty"),
    };
    verdicts.reject(row, reason, || format!("the key `{column}` is {fault}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_columns_make_one_name_and_no_two_keys_the_same() {
        let key = SeriesKey::Columns(vec!["plant".into(), "sensor".into()]);
        let name = |parts: [&str; 2]| {
            let (mut name, mut verdicts) = (String::new(), Verdicts::new(1));
            name_of((0, &key), |at| Cell::Text(parts[at]), &mut name, &mut verdicts).unwrap().to_owned()
        };
        assert_eq!(name(["CA_1", "FOODS"]), "CA_1/FOODS");
        assert_eq!(name(["a/b", "c"]), "a\\/b/c");
        assert_eq!(name(["a", "b/c"]), "a/b\\/c");
        assert_ne!(name(["a\\", "b"]), name(["a", "\\b"]));
    }

    #[test]
    fn a_key_without_a_part_is_refused_by_its_name() {
        let key = SeriesKey::Columns(vec!["plant".into(), "sensor".into()]);
        let (mut name, mut verdicts) = (String::new(), Verdicts::new(1));
        let cell = |at| if at == 0 { Cell::Whole(7) } else { Cell::Null };
        assert_eq!(name_of((0, &key), cell, &mut name, &mut verdicts), None);
        let found: Vec<_> = verdicts.into_iter().flatten().collect();
        assert_eq!(found, [(Reason::MissingKey, "the key `sensor` is missing or null".into())]);
    }
}
