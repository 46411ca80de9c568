//! Which leaves of a Parquet file's nested columns are read for the paths that are wanted.
//! It must not read a file.

use arrow::datatypes::{DataType, Field, Fields};

/// The places of the leaves that paths lead to, among all leaves of these columns, in order. A path
/// leads through objects and through lists of objects; one that leads nowhere has none.
pub(super) fn leaves_of(columns: &Fields, paths: &[String]) -> Vec<usize> {
    let mut is_wanted = vec![false; columns.iter().map(|field| leaves(field)).sum()];
    for path in paths {
        want(columns, path, 0, &mut is_wanted);
    }
    (0..is_wanted.len()).filter(|leaf| is_wanted[*leaf]).collect()
}

/// How many leaves a column has.
fn leaves(field: &Field) -> usize {
    match field.data_type() {
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field)).sum(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => leaves(item),
        _ => 1,
    }
}

/// Wants what a path leads to of these fields, the first leaf of which has this place.
fn want(fields: &Fields, path: &str, first: usize, is_wanted: &mut [bool]) -> bool {
    let place = |at: usize| first + fields[..at].iter().map(|field| leaves(field)).sum::<usize>();
    if let Some(at) = fields.iter().position(|field| field.name() == path) {
        is_wanted[place(at)..place(at) + leaves(&fields[at])].fill(true);
        return true;
    }

    // The shortest name first, as where the rows are decoded.
    path.match_indices('.').any(|(dot, _)| {
        let (name, rest) = (&path[..dot], &path[dot + 1..]);

        let Some(at) = fields.iter().position(|field| field.name() == name) else { return false };
        match fields[at].data_type() {
            DataType::Struct(inner) => want(inner, rest, place(at), is_wanted),
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                let DataType::Struct(inner) = item.data_type() else { return false };
                want(inner, rest, place(at), is_wanted)
            }
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, fields: Vec<Field>) -> Field {
        Field::new(name, DataType::Struct(fields.into()), true)
    }

    fn number(name: &str) -> Field {
        Field::new(name, DataType::Float64, true)
    }

    #[test]
    fn only_the_leaves_of_wanted_paths_are_read() {
        let element = object("item", vec![number("ts"), object("q", vec![number("v"), number("w")])]);
        let columns: Fields = vec![
            number("a"),
            object("device", vec![number("id"), object("at", vec![number("x"), number("y")])]),
            Field::new("list", DataType::List(element.into()), true),
            number("device.id.raw"),
        ]
        .into();
        for (paths, expected) in [
            (vec!["a"], vec![0]),
            (vec!["device.id"], vec![1]),
            (vec!["device.at"], vec![2, 3]),
            (vec!["device.at.y", "a"], vec![0, 3]),
            (vec!["list.q.w"], vec![6]),
            (vec!["list.ts", "list.q"], vec![4, 5, 6]),
            (vec!["list"], vec![4, 5, 6]),
            (vec!["device.id.raw"], vec![7]),
            (vec!["device.no", "list.no", "a.b", "no"], vec![]),
        ] {
            let paths: Vec<String> = paths.into_iter().map(str::to_owned).collect();
            assert_eq!(leaves_of(&columns, &paths), expected, "{paths:?}");
        }
    }
}
