//! Columns to their wanted types, text or not; a row whose value does not fit is rejected.
//! It must not know the format that the values were written in.

use arrow::array::new_null_array;
use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, StringArray, TimestampMicrosecondArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::*;
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::message::Reason;

use super::cells::cells;
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
}

/// The column in the field's type; a row whose value does not fit is null and rejected for
/// `reason`.
pub(super) fn convert(
    column: &ArrayRef,
    field: &Field,
    reason: Reason,
    verdicts: &mut Verdicts,
) -> Result<ArrayRef> {
    let wanted = field.data_type();
    let failed = || format!("cannot read column `{}` as {wanted}", field.name());
    let typed = match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => from_text(&to_text(column)?, field)?,
        DataType::Timestamp(..) if matches!(wanted, DataType::Timestamp(..)) => {
            cast(&time::to_utc(column)?, wanted).or_fail(Kind::Source, failed)?
        }
        _ => {
            let or_null = CastOptions { safe: true, ..CastOptions::default() };
            cast_with_options(column, wanted, &or_null).or_fail(Kind::Source, failed)?
        }
    };

    if typed.logical_null_count() > column.logical_null_count() {
        let texts = to_text(column)?;
        let nulls = typed.logical_nulls();
        let is_null = |row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        for (row, text) in texts.iter().enumerate().filter(|(row, _)| is_null(*row)) {
            let Some(text) = text else { continue };
            verdicts.reject(row, reason, || misfit(field, text));
        }
    }
    Ok(typed)
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
fn from_text(texts: &StringArray, field: &Field) -> Result<ArrayRef> {
    let wanted = field.data_type();
    let Some(mut cells) = cells(wanted, texts.len()) else {
        return Ok(new_null_array(wanted, texts.len()));
    };
    for text in texts {
        cells.push(text);
    }
    cells.finish()
}

/// The times as a data column.
pub(super) fn times_as(times: &TimestampMicrosecondArray, field: &Field) -> Result<ArrayRef> {
    cast(times, field.data_type())
        .or_fail(Kind::Source, || format!("cannot convert column `{}`", field.name()))
}

/// That a text is no value of its column.
pub(super) fn misfit(field: &Field, text: &str) -> String {
    format!("column `{}`: {} is no {}", field.name(), quote(text), word(field.data_type()))
}

/// What a value of the type is called in a reject's detail.
fn word(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Null => "null",
        DataType::Boolean => "truth value",
        DataType::Date32 => "date",
        DataType::Timestamp(..) => "time",
        DataType::Float32 | DataType::Float64 => "number",
        _ => "integer of the column's size",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn converted(values: &[Option<&str>], wanted: DataType) -> (ArrayRef, Vec<Option<String>>) {
        let column: ArrayRef = Arc::new(values.iter().copied().collect::<StringArray>());
        let mut verdicts = Verdicts::new(values.len());
        let field = Field::new("x", wanted, true);
        let typed = convert(&column, &field, Reason::Undecodable, &mut verdicts).unwrap();
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
        let typed = convert(&column, &field, Reason::Undecodable, &mut verdicts).unwrap();
        assert_eq!(typed.as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(7), None, None]);
        assert_eq!(verdicts.good().collect::<Vec<_>>(), [true, false, true]);
    }
}
