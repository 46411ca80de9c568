//! Fields of a schema whose values are no column, and why.
//! It must not know the language of a schema.

use arrow::datatypes::{DataType, Field};

/// The metadata of a field that says why its values cannot be read.
const UNREADABLE: &str = "unreadable";

/// Why the values of a field cannot be read; none where they can.
pub(super) fn why_unreadable(field: &Field) -> Option<&str> {
    field.metadata().get(UNREADABLE).map(String::as_str)
}

/// A field of a type that may be null, or why it has none.
pub(super) fn field_of_type(name: &str, of: Result<(DataType, bool), String>) -> Field {
    let because = |why: &str| [(UNREADABLE.to_owned(), why.to_owned())].into();
    match of {
        Ok((data_type, nullable)) => {
            let why = why_no_column(&data_type);
            let field = Field::new(name, data_type, nullable);
            match why {
                Some(why) => field.with_metadata(because(why)),
                None => field,
            }
        }
        Err(why) => Field::new(name, DataType::Null, true).with_metadata(because(&why)),
    }
}

/// Objects and lists are no values, though there are values within them.
fn why_no_column(data_type: &DataType) -> Option<&'static str> {
    match data_type {
        DataType::Struct(_) => Some("it is an object: name a field of it by its path"),
        DataType::List(_) => Some("it is a list: take it apart by source.unnest"),
        DataType::Map(..) => Some("it is a map: name a value of it by its path"),
        _ => None,
    }
}
