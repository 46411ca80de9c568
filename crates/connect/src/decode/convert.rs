//! Columns to their wanted types, text or not; a row whose value does not fit is rejected.
//! It must not know the format that the values were written in.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, PrimitiveArray, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::*;
use tickcast_stream::PassReason;
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::message::Reason;

use super::cell::Cell;
use super::cells::{Reading, cells};
use super::nulls::Nulls;
use super::spread::Spread;
use super::text_column::to_text;
use super::time;
use super::verdict::{Verdicts, quote};

/// Rows in their types, judged but for what comes after their times.
pub(super) struct Converted {
    /// The data columns.
    pub(super) data: Vec<ArrayRef>,
    pub(super) series: StringArray,
    pub(super) times: TimestampMicrosecondArray,
    /// The first time, and what it was read from.
    pub(super) first: Option<(i64, String)>,
    /// The record of every row.
    pub(super) spread: Spread,
    /// The records that are no rows and no rejects, by their places.
    pub(super) passed: Vec<(usize, PassReason)>,
}

/// How a column is judged.
pub(super) struct Judged<'a> {
    pub(super) field: &'a Field,
    /// Why a row is rejected whose value cannot be read.
    pub(super) reason: Reason,
    /// Its place among the data columns, where such a value is null instead.
    pub(super) may_be_blank: Option<usize>,
    pub(super) reading: Reading,
    /// The words for no value that its texts are compared with.
    pub(super) nulls: Option<&'a Nulls>,
}

/// The column in the field's type; a value that does not fit is null, and its row judged.
pub(super) fn convert(column: &ArrayRef, judged: &Judged<'_>, verdicts: &mut Verdicts) -> Result<ArrayRef> {
    let wanted = judged.field.data_type();
    let failed = || format!("cannot read column `{}` as {wanted}", judged.field.name());
    let mut column = Arc::clone(column);
    let typed = match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = to_text(&column)?;
            let texts = match judged.nulls {
                Some(nulls) => texts.iter().map(|text| text.filter(|text| !nulls.has(text))).collect(),
                None => texts,
            };
            column = Arc::new(texts.clone());
            from_text(&texts, judged)?
        }
        DataType::Timestamp(..) if matches!(wanted, DataType::Timestamp(..)) => {
            cast(&time::to_utc(&column)?, wanted).or_fail(Kind::Source, failed)?
        }
        _ => {
            let or_null = CastOptions { safe: true, ..CastOptions::default() };
            cast_with_options(&column, wanted, &or_null).or_fail(Kind::Source, failed)?
        }
    };
    let typed = if judged.reading.is_finite { finite(&typed) } else { typed };

    if typed.logical_null_count() > column.logical_null_count() {
        let texts = to_text(&column)?;
        let nulls = typed.logical_nulls();
        let is_null = |row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        for (row, text) in texts.iter().enumerate().filter(|(row, _)| is_null(*row)) {
            let Some(text) = text else { continue };
            let detail = || misfit(judged.field, Cell::Text(text));
            match judged.may_be_blank {
                Some(at) => verdicts.blank(row, at, detail),
                None => verdicts.reject(row, judged.reason, detail),
            }
        }
    }
    Ok(typed)
}

/// The column with null for floats that are no finite numbers.
fn finite(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => Arc::new(
            column
                .as_primitive::<Float64Type>()
                .unary_opt::<_, Float64Type>(|value| value.is_finite().then_some(value)),
        ),
        DataType::Float32 => Arc::new(
            column
                .as_primitive::<Float32Type>()
                .unary_opt::<_, Float32Type>(|value| value.is_finite().then_some(value)),
        ),
        _ => Arc::clone(column),
    }
}

/// Rejects the rows of a floating-point column that are NaN or infinite.
pub(super) fn judge_finite(column: &ArrayRef, name: &str, verdicts: &mut Verdicts) {
    match column.data_type() {
        DataType::Float64 => reject_not_finite(column.as_primitive::<Float64Type>(), name, verdicts),
        DataType::Float32 => reject_not_finite(column.as_primitive::<Float32Type>(), name, verdicts),
        _ => {}
    }
}

fn reject_not_finite<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, name: &str, verdicts: &mut Verdicts)
where
    T::Native: Into<f64>,
{
    for (row, value) in column.iter().enumerate() {
        let Some(value) = value.map(Into::<f64>::into).filter(|value| !value.is_finite()) else { continue };
        verdicts
            .reject(row, Reason::NotFinite, || format!("column `{name}` is {value}, not a finite number"));
    }
}

/// Text in the field's type; null where it does not fit.
fn from_text(texts: &StringArray, judged: &Judged<'_>) -> Result<ArrayRef> {
    let wanted = judged.field.data_type();
    let Some(mut cells) = cells(wanted, texts.len(), judged.reading) else {
        return Ok(new_null_array(wanted, texts.len()));
    };
    for text in texts {
        cells.push(Cell::of_text(text));
    }
    cells.finish()
}

/// The times as a data column.
pub(super) fn times_as(times: &TimestampMicrosecondArray, field: &Field) -> Result<ArrayRef> {
    cast(times, field.data_type())
        .or_fail(Kind::Source, || format!("cannot convert column `{}`", field.name()))
}

/// That a cell is no value of its column.
pub(super) fn misfit(field: &Field, cell: Cell<'_>) -> String {
    let what = match (cell, cell.said()) {
        (Cell::Nested, _) => "an object or a list".to_owned(),
        (Cell::Bytes(_), None) => "not UTF-8, and so".to_owned(),
        (_, said) => quote(&said.unwrap_or_default()),
    };
    format!("column `{}`: {what} is no {}", field.name(), word(field.data_type()))
}

/// What a value of the type is called in a reject's detail.
fn word(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Null => "null",
        DataType::Boolean => "truth value",
        DataType::Date32 => "date",
        DataType::Timestamp(..) => "time",
        DataType::Float32 | DataType::Float64 => "number",
        DataType::Utf8 => "text",
        _ => "integer of the column's size",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(field: &Field) -> Judged<'_> {
        Judged {
            field,
            reason: Reason::Undecodable,
            may_be_blank: None,
            reading: Reading::default(),
            nulls: None,
        }
    }

    fn converted(values: &[Option<&str>], wanted: DataType) -> (ArrayRef, Vec<Option<String>>) {
        let column: ArrayRef = Arc::new(values.iter().copied().collect::<StringArray>());
        let mut verdicts = Verdicts::new(values.len());
        let field = Field::new("x", wanted, true);
        let typed = convert(&column, &judged(&field), &mut verdicts).unwrap();
        (typed, verdicts.into_iter().map(|verdict| verdict.map(|(_, detail)| detail)).collect())
    }

    #[test]
    fn text_is_read_and_what_does_not_fit_is_named() {
        let texts = [Some("1.5"), None, Some("warm"), Some("")];
        let (typed, faults) = converted(&texts, DataType::Float64);
        let values: Vec<_> = typed.as_primitive::<Float64Type>().iter().collect();
        assert_eq!(values, [Some(1.5), None, None, None]);
        assert_eq!(faults[..2], [None, None]);
        assert_eq!(faults[2].as_deref(), Some("column `x`: `warm` is no number"));
        assert_eq!(faults[3].as_deref(), Some("column `x`: `` is no number"));
    }

    #[test]
    fn nan_and_infinities_are_rejected() {
        let (typed, faults) =
            converted(&[Some("NaN"), Some("1e999"), Some("-inf"), Some("1"), None], DataType::Float64);
        assert!(faults.iter().all(Option::is_none));
        let mut verdicts = Verdicts::new(5);
        judge_finite(&typed, "x", &mut verdicts);
        assert_eq!(verdicts.good().collect::<Vec<_>>(), [false, false, false, true, true]);
    }

    #[test]
    fn typed_columns_are_cast_and_what_overflows_is_rejected() {
        let column: ArrayRef =
            Arc::new(PrimitiveArray::<Int64Type>::from(vec![Some(7), Some(1 << 40), None]));
        let mut verdicts = Verdicts::new(3);
        let field = Field::new("x", DataType::Int32, true);
        let typed = convert(&column, &judged(&field), &mut verdicts).unwrap();
        assert_eq!(typed.as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(7), None, None]);
        assert_eq!(verdicts.good().collect::<Vec<_>>(), [true, false, true]);
    }
}
