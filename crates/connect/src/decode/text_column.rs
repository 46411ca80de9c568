//! Any column as text.
//! It must not know what the text means.

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use tickcast_stream::error::{Kind, OrFail, Result};

/// The column as text.
pub(super) fn to_text(column: &ArrayRef) -> Result<StringArray> {
    let text = cast(column, &DataType::Utf8).or_fail(Kind::Source, || "cannot write a column as text")?;
    Ok(text.as_string::<i32>().clone())
}
