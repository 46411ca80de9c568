//! Columns to their wanted types, text or not; a row whose value does not fit is rejected.
//! It must not know the format that the values were written in.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, PrimitiveArray, StringArray};
use arrow::array::{TimestampMicrosecondArray, new_null_array};
use arrow::compute::kernels::cast_utils::Parser;
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::*;
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::message::Reason;

use super::text_column::to_text;
use super::time;
use super::verdict::{Verdicts, quote};

/// Whether values of this type can be read.
pub(super) fn supports(data_type: &DataType) -> bool {
    use DataType::*;
    let nothing = StringArray::from(Vec::<&str>::new());
    matches!(data_type, Null | Boolean | Utf8 | Binary | Date32 | Timestamp(_, Some(_)))
        || numbers(&nothing, data_type).is_some()
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
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => from_text(&to_text(column)?, wanted)?,
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
            verdicts.reject(row, reason, || {
                format!("column `{}`: {} is no {}", field.name(), quote(text), word(wanted))
            });
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

/// Text in the wanted type; null where it does not fit.
fn from_text(texts: &StringArray, wanted: &DataType) -> Result<ArrayRef> {
    Ok(match wanted {
        DataType::Utf8 => Arc::new(texts.clone()),
        DataType::Binary => {
            Arc::new(texts.iter().map(|text| text.map(str::as_bytes)).collect::<BinaryArray>())
        }
        DataType::Boolean => Arc::new(texts.iter().map(|text| truth(text?)).collect::<BooleanArray>()),
        DataType::Date32 => {
            let day = |text: &str| text.trim().parse().ok().or_else(|| Date32Type::parse(text.trim()));
            Arc::new(texts.iter().map(|text| day(text?)).collect::<PrimitiveArray<Date32Type>>())
        }
        DataType::Timestamp(unit, _) => {
            let utc = time::utc()?;
            let times = texts.iter().map(|text| time::parse(text?, Some(*unit), &utc));
            let times = times.collect::<TimestampMicrosecondArray>().with_timezone("UTC");
            cast(&times, wanted).or_fail(Kind::Source, || format!("cannot convert times to {wanted}"))?
        }
        _ => numbers(texts, wanted).unwrap_or_else(|| new_null_array(wanted, texts.len())),
    })
}

/// Text in the wanted type, where that is a type of numbers.
fn numbers(texts: &StringArray, wanted: &DataType) -> Option<ArrayRef> {
    Some(match wanted {
        DataType::Float64 => parsed::<Float64Type>(texts, Float64Type::parse),
        DataType::Float32 => parsed::<Float32Type>(texts, Float32Type::parse),
        DataType::Int64 => parsed::<Int64Type>(texts, integer::<Int64Type>),
        DataType::Int32 => parsed::<Int32Type>(texts, integer::<Int32Type>),
        DataType::Int16 => parsed::<Int16Type>(texts, integer::<Int16Type>),
        DataType::Int8 => parsed::<Int8Type>(texts, integer::<Int8Type>),
        DataType::UInt64 => parsed::<UInt64Type>(texts, integer::<UInt64Type>),
        DataType::UInt32 => parsed::<UInt32Type>(texts, integer::<UInt32Type>),
        DataType::UInt16 => parsed::<UInt16Type>(texts, integer::<UInt16Type>),
        DataType::UInt8 => parsed::<UInt8Type>(texts, integer::<UInt8Type>),
        _ => return None,
    })
}

fn parsed<T: ArrowPrimitiveType>(texts: &StringArray, parse: impl Fn(&str) -> Option<T::Native>) -> ArrayRef {
    Arc::new(texts.iter().map(|text| parse(text?)).collect::<PrimitiveArray<T>>())
}

/// An integer, also where it is written as `5.0` or `1e3`, as some JSON writers do.
fn integer<T: Parser>(text: &str) -> Option<T::Native> {
    T::parse(text).or_else(|| {
        let value = Float64Type::parse(text).filter(|value| value.fract() == 0.0 && value.abs() < 9e15)?;
        T::parse(&(value as i64).to_string())
    })
}

fn truth(text: &str) -> Option<bool> {
    match text.trim() {
        text if text.eq_ignore_ascii_case("true") => Some(true),
        text if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
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
    use super::*;

    fn converted(values: &[Option<&str>], wanted: DataType) -> (ArrayRef, Vec<Option<String>>) {
        let column: ArrayRef = Arc::new(values.iter().copied().collect::<StringArray>());
        let mut verdicts = Verdicts::new(values.len());
        let field = Field::new("x", wanted, true);
        let typed = convert(&column, &field, Reason::Undecodable, &mut verdicts).unwrap();
        (typed, verdicts.into_iter().map(|verdict| verdict.map(|(_, detail)| detail)).collect())
    }

    #[test]
    fn numbers_are_read_from_text_and_the_rest_is_named() {
        let (typed, faults) =
            converted(&[Some("1.5"), None, Some(" -2e3 "), Some("warm"), Some("")], DataType::Float64);
        let values: Vec<_> = typed.as_primitive::<Float64Type>().iter().collect();
        assert_eq!(values, [Some(1.5), None, Some(-2000.0), None, None]);
        assert_eq!(faults[..3], [None, None, None]);
        assert_eq!(faults[3].as_deref(), Some("column `x`: `warm` is no number"));
        assert_eq!(faults[4].as_deref(), Some("column `x`: `` is no number"));
    }

    #[test]
    fn an_integer_may_be_written_as_a_float() {
        let (typed, faults) =
            converted(&[Some("7"), Some("5.0"), Some("1e3"), Some("1.5"), Some("300")], DataType::Int8);
        let values: Vec<_> = typed.as_primitive::<Int8Type>().iter().collect();
        assert_eq!(values, [Some(7), Some(5), None, None, None]);
        assert_eq!(faults.iter().filter(|fault| fault.is_some()).count(), 3);
    }

    #[test]
    fn every_supported_type_takes_nulls_and_rejects_what_does_not_fit() {
        let millis = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        use DataType::*;
        for wanted in [
            Null, Boolean, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64, Float32, Float64,
            Date32, millis,
        ] {
            assert!(supports(&wanted), "{wanted}");
            let (typed, faults) = converted(&[None, Some("?")], wanted.clone());
            assert_eq!(*typed.data_type(), wanted);
            assert!(faults[0].is_none() && faults[1].is_some(), "{wanted}: {faults:?}");
        }
        for wanted in [Utf8, Binary] {
            assert!(supports(&wanted));
            assert!(converted(&[None, Some("?")], wanted).1.iter().all(Option::is_none));
        }
        assert!(!supports(&DataType::Decimal128(10, 2)));
    }

    #[test]
    fn times_and_dates_count_in_their_own_units() {
        let millis = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let (typed, _) = converted(&[Some("1500"), Some("1970-01-01T00:00:02Z")], millis);
        let values: Vec<_> = typed.as_primitive::<TimestampMillisecondType>().iter().collect();
        assert_eq!(values, [Some(1500), Some(2000)]);
        let (typed, _) = converted(&[Some("31"), Some("1970-02-01")], DataType::Date32);
        assert_eq!(typed.as_primitive::<Date32Type>().values(), &[31, 31]);
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
