//! Event times: text or a columnar source's values to microseconds, UTC.
//! It must not know what a time is used for.
//!
//! The usual forms are read in one pass (`rfc3339.rs`), whole numbers by their size (`number.rs`);
//! what is neither is tried in all other forms that mean one instant only (`forms.rs`). With a
//! format of the pipeline only that one is read.

mod civil;
mod cursor;
mod forms;
mod misread;
mod named;
mod number;
mod rfc3339;
mod spec;
mod strftime;
#[cfg(test)]
mod tests;
mod written;
mod zone;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use jiff::tz::TimeZone;
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::Reason;

use self::misread::Misread;
use self::written::{Place, Written};
use super::cell::Cell;
use super::text_column::to_text;
use super::verdict::Verdicts;

pub use self::spec::{Ambiguous, TimeCount, TimeFrom, TimeSpec};
pub use self::strftime::check_time_format;
pub use self::zone::time_zone;

/// 0001-01-01T00:00:00Z.
const FIRST_US: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999999Z.
const LAST_US: i64 = 253_402_300_799_999_999;

/// Reads times as they are written.
#[derive(Debug, Clone, Default)]
pub(super) struct TimeReader {
    unit: Option<TimeCount>,
    format: Option<String>,
    zone: Option<TimeZone>,
    ambiguous: Ambiguous,
}

impl TimeReader {
    /// A reader of times that are written so; `unit` is what the schema says that a number counts.
    /// Errors: `Config`, when the zone is none.
    pub(super) fn new(spec: &TimeSpec, unit: Option<TimeCount>) -> Result<Self> {
        let zone = spec.zone.as_deref().map(|name| {
            time_zone(name)
                .map_err(|_| Error::new(Kind::Config, format!("time.zone: no time zone `{name}` is known")))
        });
        Ok(TimeReader {
            unit: spec.unit.or(unit),
            format: spec.format.clone(),
            zone: zone.transpose()?,
            ambiguous: spec.ambiguous,
        })
    }

    /// A reader of times whose numbers count this.
    pub(super) fn counting(unit: TimeUnit) -> Self {
        TimeReader { unit: Some(count_of(unit)), ..TimeReader::default() }
    }

    /// Microseconds since the epoch, if the text is a time.
    #[inline]
    pub(super) fn read(&self, text: &str) -> Option<i64> {
        self.instant(text).ok()
    }

    /// Microseconds since the epoch, if the cell is a time.
    #[inline]
    pub(super) fn time_of(&self, cell: Cell<'_>) -> Option<i64> {
        match cell {
            Cell::Text(text) => self.read(text),
            _ => self.instant_of(cell).ok(),
        }
    }

    fn instant_of(&self, cell: Cell<'_>) -> std::result::Result<i64, Misread> {
        match cell {
            Cell::Instant(us) => in_range(us).ok_or(Misread::OutOfRange),
            Cell::Clock(us) => in_range(self.on_clock(us)?).ok_or(Misread::OutOfRange),
            Cell::Whole(count) if self.unit.is_some() && self.format.is_none() => {
                let us = self.counted(number::integer(count, "", self.unit)?)?;
                in_range(us).ok_or(Misread::OutOfRange)
            }
            _ => self.instant(&cell.said().unwrap_or_default()),
        }
    }

    #[inline]
    fn instant(&self, text: &str) -> std::result::Result<i64, Misread> {
        let text = text.trim();
        if self.format.is_some() {
            return self.formatted(text);
        }
        // Only a date has a dash there.
        let us = if text.as_bytes().get(4) == Some(&b'-')
            && let Some(usual) = rfc3339::read(text)
        {
            match (usual.offset_us, &self.zone) {
                (Some(offset_us), _) => usual.clock_us - offset_us,
                (None, None) => usual.clock_us,
                (None, Some(_)) => self.on_clock(usual.clock_us)?,
            }
        } else if let Ok(count) = text.parse::<i64>() {
            self.counted(number::integer(count, text, self.unit)?)?
        } else {
            self.unusual(text)?
        };
        in_range(us).ok_or(Misread::OutOfRange)
    }

    #[cold]
    fn unusual(&self, text: &str) -> std::result::Result<i64, Misread> {
        match text.parse::<f64>() {
            Ok(count) if count.is_finite() => self.counted(number::float(count, text, self.unit)?),
            _ => forms::read(text)?.instant(self.zone.as_ref(), self.ambiguous),
        }
    }

    fn formatted(&self, text: &str) -> std::result::Result<i64, Misread> {
        let written = strftime::read(self.format.as_deref().unwrap_or_default(), text)?;
        in_range(written.instant(self.zone.as_ref(), self.ambiguous)?).ok_or(Misread::OutOfRange)
    }

    /// The instant of a count: days are those of the zone, all else counts from one instant.
    #[inline]
    fn counted(&self, us: i64) -> std::result::Result<i64, Misread> {
        if self.unit == Some(TimeCount::Days) { self.on_clock(us) } else { Ok(us) }
    }

    /// The instant at which the zone's clocks show this.
    fn on_clock(&self, clock_us: i64) -> std::result::Result<i64, Misread> {
        let written = Written { clock_us, place: Place::Unsaid };
        written.instant(self.zone.as_ref(), self.ambiguous)
    }

    /// The column as times; a row without a readable one is null and rejected.
    pub(super) fn convert(
        &self,
        written: &ArrayRef,
        from: &TimeFrom,
        verdicts: &mut Verdicts,
    ) -> Result<TimestampMicrosecondArray> {
        let times: TimestampMicrosecondArray = match written.data_type() {
            DataType::Timestamp(_, Some(_)) => to_utc(written)?.unary_opt(in_range),
            DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 => {
                to_utc(written)?.unary_opt(|us| in_range(self.on_clock(us).ok()?))
            }
            _ => to_text(written)?.iter().map(|text| self.read(text?)).collect(),
        };

        if times.null_count() > 0 {
            let texts = to_text(written)?;
            for (row, text) in texts.iter().enumerate().filter(|(row, _)| times.is_null(*row)) {
                self.reject(row, Cell::of_text(text), from, verdicts);
            }
        }
        Ok(times.with_timezone("UTC"))
    }

    /// Rejects a row whose time is missing or cannot be read.
    pub(super) fn reject(&self, row: usize, written: Cell<'_>, from: &TimeFrom, verdicts: &mut Verdicts) {
        verdicts.reject(row, Reason::BadTime, || match (written, written.said()) {
            (Cell::Null, _) => format!("the time {} is missing or null", from.shown()),
            (Cell::Nested, _) => format!("the time {} is an object or a list", from.shown()),
            (_, said) => {
                let fault = self.instant_of(written).err().unwrap_or(Misread::OutOfRange);
                fault.detail(from, said.unwrap_or_default().trim())
            }
        });
    }
}

/// What a number in a column of these times counts.
pub(super) fn count_of(unit: TimeUnit) -> TimeCount {
    match unit {
        TimeUnit::Second => TimeCount::S,
        TimeUnit::Millisecond => TimeCount::Ms,
        TimeUnit::Microsecond => TimeCount::Us,
        TimeUnit::Nanosecond => TimeCount::Ns,
    }
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

fn in_range(us: i64) -> Option<i64> {
    (FIRST_US..=LAST_US).contains(&us).then_some(us)
}
