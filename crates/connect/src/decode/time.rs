//! Event times: text or a columnar source's values to microseconds, UTC.
//! It must not know what a time is used for.
//!
//! Text is RFC 3339; without an offset it is UTC, a date alone is its midnight, and a blank may
//! stand for the `T`. A number counts what the schema says. Without a schema its size tells the
//! unit: below 1e11 seconds (until the year 5138), below 1e14 milliseconds, below 1e17
//! microseconds, else nanoseconds; a fraction is allowed and rounded.

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::temporal_conversions::timestamp_us_to_datetime;
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::message::Reason;

use super::text_column::to_text;
use super::verdict::{Verdicts, quote};

/// 0001-01-01T00:00:00Z.
const FIRST_US: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999999Z.
const LAST_US: i64 = 253_402_300_799_999_999;

/// The column as times; a row without a readable one is null and rejected.
pub(super) fn convert(
    written: &ArrayRef,
    name: &str,
    unit: Option<TimeUnit>,
    verdicts: &mut Verdicts,
) -> Result<TimestampMicrosecondArray> {
    let utc = utc()?;
    let times: TimestampMicrosecondArray = match written.data_type() {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => to_utc(written)?.unary_opt(in_range),
        _ => to_text(written)?.iter().map(|text| parse(text?, unit, &utc)).collect(),
    };

    if times.null_count() > 0 {
        let texts = to_text(written)?;
        for (row, text) in texts.iter().enumerate().filter(|(row, _)| times.is_null(*row)) {
            reject(row, text, name, verdicts);
        }
    }
    Ok(times.with_timezone("UTC"))
}

/// A column of times or dates in microseconds, UTC; a time without a zone is UTC already.
pub(super) fn to_utc(column: &ArrayRef) -> Result<TimestampMicrosecondArray> {
    let zone = match column.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    // Only the unit is cast; the zone is a label, and changing it does not move the instant.
    let micros = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, zone))
        .or_fail(Kind::Source, || "cannot convert a column of times")?;
    Ok(micros.as_primitive::<TimestampMicrosecondType>().clone().with_timezone("UTC"))
}

/// Rejects a row whose time is missing or cannot be read.
pub(super) fn reject(row: usize, written: Option<&str>, name: &str, verdicts: &mut Verdicts) {
    verdicts.reject(row, Reason::BadTime, || match written {
        None => format!("the time `{name}` is missing or null"),
        Some(text) => format!("time `{name}`: {} is no time in the years 1 to 9999", quote(text)),
    });
}

/// The time zone that times without an offset are in.
pub(super) fn utc() -> Result<Tz> {
    "+00:00".parse().or_fail(Kind::Source, || "no time zone UTC")
}

/// Microseconds since the epoch, if the text is a time in the years 1 to 9999.
pub(super) fn parse(text: &str, unit: Option<TimeUnit>, utc: &Tz) -> Option<i64> {
    let text = text.trim();
    // Only a date has a dash there: for a number Arrow would write an error before it is tried as
    // one.
    let is_date = text.as_bytes().get(4) == Some(&b'-');
    if is_date && let Ok(time) = string_to_datetime(utc, text) {
        return in_range(time.timestamp_micros());
    }

    let us = match text.parse::<i64>() {
        Ok(count) => integer_us(count, unit.unwrap_or_else(|| unit_of(count.unsigned_abs() as f64)))?,
        Err(_) => {
            let count = text.parse::<f64>().ok().filter(|count| count.is_finite())?;
            float_us(count, unit.unwrap_or_else(|| unit_of(count.abs())))?
        }
    };
    in_range(us)
}

fn in_range(us: i64) -> Option<i64> {
    (FIRST_US..=LAST_US).contains(&us).then_some(us)
}

/// The unit in which a number of this size is a plausible time.
fn unit_of(size: f64) -> TimeUnit {
    match size {
        size if size < 1e11 => TimeUnit::Second,
        size if size < 1e14 => TimeUnit::Millisecond,
        size if size < 1e17 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

fn integer_us(count: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => count.checked_mul(1_000_000),
        TimeUnit::Millisecond => count.checked_mul(1_000),
        TimeUnit::Microsecond => Some(count),
        TimeUnit::Nanosecond => Some(count.div_euclid(1_000)),
    }
}

fn float_us(count: f64, unit: TimeUnit) -> Option<i64> {
    let us = match unit {
        TimeUnit::Second => count * 1e6,
        TimeUnit::Millisecond => count * 1e3,
        TimeUnit::Microsecond => count,
        TimeUnit::Nanosecond => count / 1e3,
    };
    // The conversion saturates, and what it saturates to is out of range.
    in_range(us.round() as i64)
}

/// A time as a person reads it.
pub(super) fn show(us: i64) -> String {
    match timestamp_us_to_datetime(us) {
        Some(time) => format!("{time:?}Z"),
        None => format!("{us} µs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(text: &str) -> Option<i64> {
        parse(text, None, &utc().unwrap())
    }

    #[test]
    fn rfc_3339_with_and_without_an_offset() {
        let noon = 1_357_041_600_000_000;
        for text in [
            "2013-01-01T12:00:00Z",
            "2013-01-01t12:00:00z",
            "2013-01-01T12:00:00",
            "2013-01-01 12:00:00",
            " 2013-01-01T12:00:00.000000Z\n",
            "2013-01-01T07:00:00-05:00",
            "2013-01-01T17:30:00+05:30",
        ] {
            assert_eq!(us(text), Some(noon), "{text}");
        }
        assert_eq!(us("2013-01-01"), Some(noon - 12 * 3_600_000_000));
        assert_eq!(us("2013-01-01T12:00:00.123456789Z"), Some(noon + 123_456));
        assert_eq!(us("1969-12-31T23:59:59.999999Z"), Some(-1));
    }

    #[test]
    fn a_number_without_a_schema_tells_its_unit_by_its_size() {
        let us_of = 1_700_000_000_000_000;
        for text in ["1700000000", "1700000000000", "1700000000000000", "1700000000000000000", "1.7e9"] {
            assert_eq!(us(text), Some(us_of), "{text}");
        }
        assert_eq!(us("1700000000.25"), Some(us_of + 250_000));
        assert_eq!(us("0"), Some(0));
        assert_eq!(us("-1"), Some(-1_000_000));
    }

    #[test]
    fn a_number_with_a_schema_counts_its_unit() {
        let utc = utc().unwrap();
        assert_eq!(parse("5", Some(TimeUnit::Microsecond), &utc), Some(5));
        assert_eq!(parse("5", Some(TimeUnit::Millisecond), &utc), Some(5_000));
        assert_eq!(parse("-1", Some(TimeUnit::Nanosecond), &utc), Some(-1));
    }

    #[test]
    fn what_is_no_time_or_outside_the_years() {
        for text in
            ["", "yesterday", "2013-13-01", "2013-02-30T00:00:00Z", "24:00", "NaN", "inf", "1e300", "true"]
        {
            assert_eq!(us(text), None, "{text}");
        }
        assert_eq!(us("0000-12-31T23:59:59Z"), None);
        assert_eq!(us("0001-01-01T00:00:00Z"), Some(FIRST_US));
        assert_eq!(us("9999-12-31T23:59:59.999999Z"), Some(LAST_US));
        assert_eq!(us("9999-12-31T23:59:59-01:00"), None);
        let utc = utc().unwrap();
        assert_eq!(parse("9223372036854775807", Some(TimeUnit::Second), &utc), None);
        assert_eq!(parse("9223372036854775807", Some(TimeUnit::Microsecond), &utc), None);
    }

    #[test]
    fn a_shown_time_is_read_back() {
        for us_since in [0, 1_357_041_600_000_000, -1, 1_357_041_600_123_456] {
            assert_eq!(us(&show(us_since)), Some(us_since), "{}", show(us_since));
        }
    }
}
