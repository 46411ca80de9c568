//! Columns that are built from cells, a value at a time.
//! It must not know the format that the cells were taken from.

use std::sync::Arc;

use arrow::array::*;
use arrow::compute::cast;
use arrow::compute::kernels::cast_utils::Parser;
use arrow::datatypes::*;
use tickcast_stream::error::{Kind, OrFail, Result};

use super::cell::Cell;
use super::number_style::NumberStyle;
use super::time::TimeReader;

/// A column of one type that takes cells.
pub(super) trait Cells {
    /// Appends the value that the cell says, null for none; null and false, where it says none of
    /// the type.
    fn push(&mut self, cell: Cell<'_>) -> bool;

    /// What was appended.
    fn finish(&mut self) -> Result<ArrayRef>;
}

/// How the texts of cells are read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    /// How numbers are written.
    pub(super) numbers: NumberStyle,
    /// What is no finite number is no value.
    pub(super) is_finite: bool,
}

/// An empty column of this type with room for so many rows; none, where such values cannot be read
/// from cells.
pub(super) fn cells(wanted: &DataType, rows: usize, reading: Reading) -> Option<Box<dyn Cells>> {
    Some(match wanted {
        DataType::Utf8 => Box::new(StringBuilder::with_capacity(rows, 8 * rows)),
        DataType::Binary => Box::new(BinaryBuilder::with_capacity(rows, 8 * rows)),
        DataType::Boolean => Box::new(BooleanBuilder::with_capacity(rows)),
        DataType::Null => Box::new(NullBuilder::new()),

        DataType::Date32 => Parsed::<Date32Type, _>::boxed(rows, day),
        DataType::Timestamp(unit, Some(_)) => {
            let unit = *unit;
            let reader = TimeReader::counting(unit);
            let parse = move |cell: Cell<'_>| reader.time_of(cell).filter(|us| fits(*us, unit));
            let micros = Parsed::<TimestampMicrosecondType, _>::new(rows, parse);
            Box::new(Times { micros, wanted: wanted.clone() })
        }

        DataType::Float64 => floats::<Float64Type>(rows, reading),
        DataType::Float32 => floats::<Float32Type>(rows, reading),
        DataType::Int64 => integers::<Int64Type>(rows, reading),
        DataType::Int32 => integers::<Int32Type>(rows, reading),
        DataType::Int16 => integers::<Int16Type>(rows, reading),
        DataType::Int8 => integers::<Int8Type>(rows, reading),
        DataType::UInt64 => integers::<UInt64Type>(rows, reading),
        DataType::UInt32 => integers::<UInt32Type>(rows, reading),
        DataType::UInt16 => integers::<UInt16Type>(rows, reading),
        DataType::UInt8 => integers::<UInt8Type>(rows, reading),
        _ => return None,
    })
}

/// A column of floats.
fn floats<T: Parser>(rows: usize, Reading { numbers, is_finite }: Reading) -> Box<dyn Cells>
where
    T::Native: FromF64,
{
    let is_usual = numbers.is_usual();
    let parse = move |cell: Cell<'_>| {
        let value = match cell {
            Cell::Text(text) if is_usual => T::parse(text)?,
            Cell::Text(text) => T::parse(&numbers.plain(text)?)?,
            Cell::Float(float) => T::Native::from_f64(float),
            Cell::Whole(whole) => T::Native::from_f64(whole as f64),
            Cell::Unsigned(whole) => T::Native::from_f64(whole as f64),
            Cell::Bytes(_) => T::parse(&cell.said()?)?,
            _ => return None,
        };
        (!is_finite || value.is_finite_number()).then_some(value)
    };
    Parsed::<T, _>::boxed(rows, parse)
}

/// What a float can be made of.
trait FromF64 {
    fn from_f64(float: f64) -> Self;
    fn is_finite_number(&self) -> bool;
}

impl FromF64 for f64 {
    fn from_f64(float: f64) -> Self {
        float
    }

    fn is_finite_number(&self) -> bool {
        self.is_finite()
    }
}

impl FromF64 for f32 {
    fn from_f64(float: f64) -> Self {
        float as f32
    }

    fn is_finite_number(&self) -> bool {
        self.is_finite()
    }
}

/// A column of integers.
fn integers<T: Parser>(rows: usize, Reading { numbers, .. }: Reading) -> Box<dyn Cells>
where
    T::Native: TryFrom<i64> + TryFrom<u64>,
{
    let is_usual = numbers.is_usual();
    let parse = move |cell: Cell<'_>| match cell {
        Cell::Text(text) if is_usual => integer::<T>(text),
        Cell::Text(text) => integer::<T>(&numbers.plain(text)?),
        Cell::Whole(whole) => whole.try_into().ok(),
        Cell::Unsigned(whole) => whole.try_into().ok(),
        Cell::Float(_) | Cell::Bytes(_) => integer::<T>(&cell.said()?),
        _ => None,
    };

    Parsed::<T, _>::boxed(rows, parse)
}

/// Values that are parsed.
struct Parsed<T: ArrowPrimitiveType, F> {
    values: PrimitiveBuilder<T>,
    parse: F,
}

impl<T: ArrowPrimitiveType, F: Fn(Cell<'_>) -> Option<T::Native> + 'static> Parsed<T, F> {
    fn new(rows: usize, parse: F) -> Self {
        Parsed { values: PrimitiveBuilder::with_capacity(rows), parse }
    }

    fn boxed(rows: usize, parse: F) -> Box<dyn Cells> {
        Box::new(Self::new(rows, parse))
    }
}

impl<T: ArrowPrimitiveType, F: Fn(Cell<'_>) -> Option<T::Native>> Cells for Parsed<T, F> {
    fn push(&mut self, cell: Cell<'_>) -> bool {
        let value = (self.parse)(cell);
        self.values.append_option(value);
        value.is_some() || cell.is_null()
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(self.values.finish()))
    }
}

/// Times, in microseconds until they are all there.
struct Times<F> {
    micros: Parsed<TimestampMicrosecondType, F>,
    wanted: DataType,
}

impl<F: Fn(Cell<'_>) -> Option<i64>> Cells for Times<F> {
    fn push(&mut self, cell: Cell<'_>) -> bool {
        self.micros.push(cell)
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let micros = self.micros.values.finish().with_timezone("UTC");
        cast(&micros, &self.wanted)
            .or_fail(Kind::Source, || format!("cannot convert times to {}", self.wanted))
    }
}

impl Cells for StringBuilder {
    fn push(&mut self, cell: Cell<'_>) -> bool {
        let text = cell.said();
        self.append_option(text.as_deref());
        text.is_some() || cell.is_null()
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(StringBuilder::finish(self)))
    }
}

impl Cells for BinaryBuilder {
    fn push(&mut self, cell: Cell<'_>) -> bool {
        if let Cell::Bytes(bytes) = cell {
            self.append_value(bytes);
            return true;
        }
        let text = cell.said();
        self.append_option(text.as_deref());
        text.is_some() || cell.is_null()
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(BinaryBuilder::finish(self)))
    }
}

impl Cells for BooleanBuilder {
    fn push(&mut self, cell: Cell<'_>) -> bool {
        let value = match cell {
            Cell::Truth(truth) => Some(truth),
            _ => cell.said().and_then(|text| truth(&text)),
        };
        self.append_option(value);
        value.is_some() || cell.is_null()
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(BooleanBuilder::finish(self)))
    }
}

impl Cells for NullBuilder {
    fn push(&mut self, cell: Cell<'_>) -> bool {
        self.append_null();
        cell.is_null()
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(NullBuilder::finish(self)))
    }
}

/// Whether a time in microseconds can be said in this unit.
fn fits(us: i64, unit: TimeUnit) -> bool {
    unit != TimeUnit::Nanosecond || us.checked_mul(1_000).is_some()
}

/// The day of a cell, in days since the epoch.
fn day(cell: Cell<'_>) -> Option<i32> {
    match cell {
        Cell::Instant(us) | Cell::Clock(us) => us.div_euclid(86_400_000_000).try_into().ok(),
        Cell::Whole(days) => days.try_into().ok(),
        _ => date(&cell.said()?),
    }
}

/// Days since the epoch.
fn date(text: &str) -> Option<i32> {
    let text = text.trim();
    text.parse().ok().or_else(|| Date32Type::parse(text))
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
        text if text == "1" || text.eq_ignore_ascii_case("true") => Some(true),
        text if text == "0" || text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(texts: &[Option<&str>], wanted: &DataType) -> (ArrayRef, Vec<bool>) {
        let mut cells = cells(wanted, texts.len(), Reading::default()).unwrap();
        let fits = texts.iter().map(|text| cells.push(Cell::of_text(*text))).collect();
        (cells.finish().unwrap(), fits)
    }

    #[test]
    fn numbers_are_read_from_text_and_the_rest_is_named() {
        let texts = [Some("1.5"), None, Some(" -2e3 "), Some("warm"), Some("")];
        let (typed, fits) = taken(&texts, &DataType::Float64);
        let values: Vec<_> = typed.as_primitive::<Float64Type>().iter().collect();
        assert_eq!(values, [Some(1.5), None, Some(-2000.0), None, None]);
        assert_eq!(fits, [true, true, true, false, false]);
    }

    #[test]
    fn an_integer_may_be_written_as_a_float() {
        let texts = ["7", "5.0", "1e3", "1.5", "300"].map(Some);
        let (typed, fits) = taken(&texts, &DataType::Int8);
        let values: Vec<_> = typed.as_primitive::<Int8Type>().iter().collect();
        assert_eq!(values, [Some(7), Some(5), None, None, None]);
        assert_eq!(fits, [true, true, false, false, false]);
    }

    #[test]
    fn every_type_takes_nulls_and_says_what_does_not_fit() {
        let millis = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        use DataType::*;
        for wanted in [
            Null, Boolean, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64, Float32, Float64,
            Date32, millis,
        ] {
            let (typed, fits) = taken(&[None, Some("?")], &wanted);
            assert_eq!(*typed.data_type(), wanted);
            assert_eq!((typed.len(), typed.logical_null_count()), (2, 2), "{wanted}");
            assert_eq!(fits, [true, false], "{wanted}");
        }
        for wanted in [Utf8, Binary] {
            assert_eq!(taken(&[None, Some("?")], &wanted).1, [true, true]);
        }
        assert!(cells(&DataType::Decimal128(10, 2), 1, Reading::default()).is_none());
    }

    #[test]
    fn times_and_dates_count_in_their_own_units() {
        let millis = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let (typed, _) = taken(&[Some("1500"), Some("1970-01-01T00:00:02Z")], &millis);
        let values: Vec<_> = typed.as_primitive::<TimestampMillisecondType>().iter().collect();
        assert_eq!(values, [Some(1500), Some(2000)]);
        let (typed, _) = taken(&[Some("31"), Some("1970-02-01")], &DataType::Date32);
        assert_eq!(typed.as_primitive::<Date32Type>().values(), &[31, 31]);
        let nanos = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        let (typed, fits) = taken(&[Some("2200-01-01"), Some("9999-01-01")], &nanos);
        assert_eq!((typed.is_null(0), typed.is_null(1), fits), (false, true, vec![true, false]));
    }
}
