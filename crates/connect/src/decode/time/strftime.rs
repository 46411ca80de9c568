//! Times in the pipeline's own format, as strftime has it.
//! It must not know other forms.

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::TimeZone;

use super::civil::{DAY_US, days, time_of_day};
use super::misread::Misread;
use super::written::{Place, Written};

/// Reads a text as the format says. A date without its day or month is the first.
pub(super) fn read<'a>(format: &str, text: &'a str) -> Result<Written<'a>, Misread> {
    let mut time = BrokenDownTime::parse(format, text).or_else(|error| match digits_of(text) {
        Some(digits) => BrokenDownTime::parse(format, digits),
        None => Err(error),
    });
    let time = time.as_mut().map_err(|_| Misread::OtherFormat)?;
    if let Some(at) = time.timestamp() {
        return Ok(Written { clock_us: at.as_microsecond(), place: Place::Offset(0) });
    }

    begin(time).map_err(|_| Misread::NoSuch)?;
    let shown = time.to_datetime().map_err(|_| Misread::NoSuch)?;
    let day = days(shown.year().into(), shown.month().into(), shown.day().into());
    let (hour, minute, second) = (shown.hour().into(), shown.minute().into(), shown.second().into());
    let fraction_us = i64::from(shown.subsec_nanosecond()) / 1000;
    let of_day = time_of_day(hour, minute, second, fraction_us);
    let clock_us = day.zip(of_day).map(|(day, of_day)| day * DAY_US + of_day).ok_or(Misread::NoSuch)?;
    Ok(Written { clock_us, place: place(time)? })
}

/// A whole number as columns of numbers with gaps are written, `20240501.0`.
fn digits_of(text: &str) -> Option<&str> {
    let digits = text.strip_suffix(".0")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits)
}

/// A year without more is its first day, and so is a month or a week.
fn begin(time: &mut BrokenDownTime) -> Result<(), jiff::Error> {
    let has_week = time.sunday_based_week().or(time.monday_based_week()).is_some();
    if time.iso_week().is_some() && time.weekday().is_none() && time.year().is_none() {
        time.set_weekday(Some(Weekday::Monday));
    }
    if time.year().is_some() && time.day_of_year().is_none() && !has_week && time.iso_week().is_none() {
        time.set_month(time.month().or(Some(1)))?;
        time.set_day(time.day().or(Some(1)))?;
    }
    Ok(())
}

fn place<'a>(time: &BrokenDownTime) -> Result<Place<'a>, Misread> {
    let offset = time.offset().map(|offset| i64::from(offset.seconds()) * super::civil::SECOND_US);
    let zone = time.iana_time_zone().map(super::zone::time_zone).transpose().map_err(|_| Misread::NoZone)?;
    Ok(match (offset, zone) {
        (Some(offset), Some(zone)) => Place::OffsetIn(offset, zone),
        (Some(offset), None) => Place::Offset(offset),
        (None, Some(zone)) => Place::Zone(zone),
        (None, None) => Place::Unsaid,
    })
}

/// Why no time can be read in this format, if none can.
pub fn check_time_format(format: &str) -> Result<(), String> {
    let words = |error: jiff::Error| error.to_string();
    // An afternoon shows whether the format tells it from the morning.
    let sample = Timestamp::UNIX_EPOCH.to_zoned_datetime(TimeZone::UTC);
    let sample = sample.with().year(2024).month(5).hour(13).minute(30).build().map_err(words)?;
    let text = strtime::format(format, &sample).map_err(words)?;
    let mut time = BrokenDownTime::parse(format, &text).map_err(words)?;
    if time.timestamp().is_some() {
        return Ok(());
    }

    begin(&mut time).and_then(|()| time.to_datetime()).map_err(words)?;
    match time.hour() {
        Some(hour) if hour != 13 => {
            Err("it does not tell the morning from the afternoon: `%I` needs `%p`".to_owned())
        }
        _ => Ok(()),
    }
}
