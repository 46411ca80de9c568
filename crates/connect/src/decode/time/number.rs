//! Times that are numbers: what they count, and which might be dates instead.
//! It must not know time zones.
//!
//! A number without a unit counts seconds, milliseconds, microseconds or nanoseconds since 1970,
//! whichever puts it into the years 1990 to 2100: no two of them do. One that has the digits of a
//! date of these years is refused, and so is one that none of the four puts there.

use super::civil::{DAY_US, SECOND_US, days, time_of_day};
use super::misread::Misread;
use super::spec::TimeCount;

/// 1990-01-01T00:00:00Z.
const PLAUSIBLE_FROM_US: i64 = 631_152_000 * SECOND_US;
/// 2101-01-01T00:00:00Z.
const PLAUSIBLE_TO_US: i64 = 4_133_980_800 * SECOND_US;
/// What a number can count that says nothing of it.
const COUNTS: [TimeCount; 4] = [TimeCount::S, TimeCount::Ms, TimeCount::Us, TimeCount::Ns];

/// A fraction of a day is rounded to this: spreadsheets write a third of an hour with nine digits.
const DAY_GRAIN_US: f64 = 1000.0;

/// Microseconds since 1970 of a whole number, which `text` is.
#[inline]
pub(super) fn integer(count: i64, text: &str, unit: Option<TimeCount>) -> Result<i64, Misread> {
    if let Some(unit) = unit {
        return integer_us(count, unit).ok_or(Misread::OutOfRange);
    }

    let us = COUNTS.iter().find_map(|unit| integer_us(count, *unit).filter(|us| is_plausible(*us)));
    // Only ten digits are both: years and months and days and hours, or seconds.
    match us {
        Some(us) if text.len() != 10 => Ok(us),
        _ => judged(us, text),
    }
}

/// Microseconds since 1970 of a number, which `text` is.
pub(super) fn float(count: f64, text: &str, unit: Option<TimeCount>) -> Result<i64, Misread> {
    if let Some(unit) = unit {
        return float_us(count, unit).ok_or(Misread::OutOfRange);
    }
    let us = COUNTS.iter().find_map(|unit| float_us(count, *unit).filter(|us| is_plausible(*us)));
    judged(us, text.strip_suffix(".0").unwrap_or(text))
}

/// What it counts, unless its digits may be a date.
#[cold]
fn judged(us: Option<i64>, digits: &str) -> Result<i64, Misread> {
    let date = date_of(digits);
    let is_near = date.is_some_and(|(_, us)| is_plausible(us));
    match us {
        Some(us) if !is_near => Ok(us),
        _ => Err(Misread::Number { is_count: us.is_some(), date: date.map(|(format, _)| format) }),
    }
}

fn is_plausible(us: i64) -> bool {
    (PLAUSIBLE_FROM_US..PLAUSIBLE_TO_US).contains(&us)
}

/// The format in which the digits are a date with four digits of a year, and that date.
fn date_of(digits: &str) -> Option<(&'static str, i64)> {
    let format = match digits.len() {
        4 => "%Y",
        6 => "%Y%m",
        8 => "%Y%m%d",
        10 => "%Y%m%d%H",
        12 => "%Y%m%d%H%M",
        14 => "%Y%m%d%H%M%S",
        17 => "%Y%m%d%H%M%S%3f",
        _ => return None,
    };
    let part = |from: usize, to: usize, default| match digits.get(from..to) {
        Some(part) if part.bytes().all(|byte| byte.is_ascii_digit()) => part.parse().ok(),
        Some(_) => None,
        None => Some(default),
    };
    let year = part(0, 4, 0).filter(|year| *year >= 1000)?;
    let day = days(year, part(4, 6, 1)?, part(6, 8, 1)?)?;
    let time = time_of_day(part(8, 10, 0)?, part(10, 12, 0)?, part(12, 14, 0)?, 1000 * part(14, 17, 0)?)?;
    Some((format, day * DAY_US + time))
}

fn integer_us(count: i64, unit: TimeCount) -> Option<i64> {
    match unit {
        TimeCount::S => count.checked_mul(SECOND_US),
        TimeCount::Ms => count.checked_mul(1_000),
        TimeCount::Us => Some(count),
        TimeCount::Ns => Some(count.div_euclid(1_000)),
        TimeCount::Days => count.checked_mul(DAY_US),
    }
}

fn float_us(count: f64, unit: TimeCount) -> Option<i64> {
    let us = match unit {
        TimeCount::S => count * 1e6,
        TimeCount::Ms => count * 1e3,
        TimeCount::Us => count,
        TimeCount::Ns => count / 1e3,
        TimeCount::Days => (count * (DAY_US as f64 / DAY_GRAIN_US)).round() * DAY_GRAIN_US,
    };
    // The conversion saturates, and what it saturates to is out of range.
    Some(us.round() as i64)
}
