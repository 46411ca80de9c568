//! The usual forms of a time in one pass over their bytes: RFC 3339, with a blank for the `T`,
//! without an offset, or a date alone.
//! It must not know other forms, nor what a time without an offset means.

use super::civil::{DAY_US, HOUR_US, MINUTE_US, days, time_of_day};

/// A time as it is written: on a clock somewhere, and where, if that is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usual {
    /// What the clock shows, in microseconds since 1970.
    pub(super) clock_us: i64,
    /// How far that clock is ahead of UTC.
    pub(super) offset_us: Option<i64>,
}

/// None: it is written in another form, or is no time at all.
#[inline]
pub(super) fn read(text: &str) -> Option<Usual> {
    let bytes = text.as_bytes();
    let (date, rest) = bytes.split_first_chunk::<10>()?;
    if date[4] != b'-' || date[7] != b'-' {
        return None;
    }
    let year = 100 * two(date[0], date[1])? + two(date[2], date[3])?;
    let day_us = days(year, two(date[5], date[6])?, two(date[8], date[9])?)? * DAY_US;
    if rest.is_empty() {
        return Some(Usual { clock_us: day_us, offset_us: None });
    }

    let (time, rest) = rest.split_first_chunk::<9>()?;
    if !matches!(time[0], b'T' | b't' | b' ') || time[3] != b':' || time[6] != b':' {
        return None;
    }
    let (fraction_us, rest) = fraction(rest)?;
    let (hour, minute) = (two(time[1], time[2])?, two(time[4], time[5])?);
    let time_us = time_of_day(hour, minute, two(time[7], time[8])?, fraction_us)?;
    Some(Usual { clock_us: day_us + time_us, offset_us: offset(rest)? })
}

/// Microseconds after a point, what is finer cut off, and what follows.
#[inline]
fn fraction(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = bytes.strip_prefix(b".") else { return Some((0, bytes)) };
    let (mut us, mut count) = (0, 0);
    while let Some(digit) = digits.get(count).filter(|byte| byte.is_ascii_digit()) {
        if count < 6 {
            us = 10 * us + i64::from(digit - b'0');
        }
        count += 1;
    }

    let missing = 6_u32.saturating_sub(count as u32);
    (count > 0).then_some((us * 10_i64.pow(missing), &digits[count..]))
}

/// The offset that the bytes are, if they are any.
#[inline]
fn offset(bytes: &[u8]) -> Option<Option<i64>> {
    match *bytes {
        [] => Some(None),
        [b'Z' | b'z'] => Some(Some(0)),
        [sign @ (b'+' | b'-'), h, i, b':', m, n] => {
            let (hours, minutes) = (two(h, i)?, two(m, n)?);
            let us = hours * HOUR_US + minutes * MINUTE_US;
            let is_one = hours < 24 && minutes < 60;
            is_one.then_some(Some(if sign == b'-' { -us } else { us }))
        }
        _ => None,
    }
}

#[inline]
fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(10 * tens + ones))
}
