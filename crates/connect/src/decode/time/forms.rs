//! Texts that mean one instant only, in whichever form they are written.
//! It must not know the usual forms' short way, nor what is done where nothing is said of a zone.
//!
//! The year comes first, or the month has a name: else the day and the month could be taken for
//! each other, and such a form is refused even where one of its texts could not.

use jiff::tz::TimeZone;

use super::civil::{DAY_US, days, ordinal, week};
use super::cursor::Cursor;
use super::misread::Misread;
use super::named;
use super::written::{Place, Written};
use super::zone::time_zone;

/// Longer than any form.
const LONGEST: usize = 120;

/// Reads a text in any of the forms.
pub(super) fn read(text: &str) -> Result<Written<'_>, Misread> {
    if text.len() > LONGEST || !text.is_ascii() {
        return Err(Misread::Unknown);
    }
    if let Some(clock_us) = milliseconds_in_words(text) {
        return Ok(Written { clock_us, place: Place::Offset(0) });
    }
    let (text, zone) = without_annotations(text)?;
    let mut written = match year_first(text)? {
        Some(written) => written,
        None => named::read(text)?,
    };

    if let Some(zone) = zone {
        written.place = match written.place {
            Place::Unsaid => Place::Zone(zone),
            // `Z` says that the offset is not known, and a zone beside it only what to show.
            Place::Offset(0) => Place::Offset(0),
            Place::Offset(offset) => Place::OffsetIn(offset, zone),
            _ => return Err(Misread::Unknown),
        };
    }
    Ok(written)
}

/// `/Date(1714570200000)/` and `/Date(1714570200000+0200)/`: the offset says nothing of the
/// instant.
fn milliseconds_in_words(text: &str) -> Option<i64> {
    let inner = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let digits = inner.get(1..)?.find(['+', '-']).map_or(inner, |at| &inner[..=at]);
    digits.parse::<i64>().ok()?.checked_mul(1000)
}

/// The text without what RFC 9557 writes in brackets after it, and the zone named there; without a
/// remark in parentheses too.
fn without_annotations(text: &str) -> Result<(&str, Option<TimeZone>), Misread> {
    if let Some((before, _)) = text.strip_suffix(')').and_then(|text| text.rsplit_once('(')) {
        return Ok((before.trim_end(), None));
    }
    let Some((before, annotations)) = text.strip_suffix(']').and_then(|text| text.split_once('[')) else {
        return Ok((text, None));
    };

    let mut zone = None;
    for (nth, annotation) in annotations.split("][").enumerate() {
        let name = annotation.trim_start_matches('!');
        if name.contains('=') {
            // A calendar changes how a time is shown, not which it is.
            continue;
        }
        if nth > 0 {
            return Err(Misread::Unknown);
        }
        zone = Some(time_zone(name).map_err(|_| Misread::NoZone)?);
    }
    Ok((before.trim_end(), zone))
}

/// None: it does not begin with a year and a separator, or the month has a name.
fn year_first(text: &str) -> Result<Option<Written<'_>>, Misread> {
    let mut at = Cursor(text);
    let Some((number, count)) = at.number() else { return Ok(None) };
    let day = match count {
        8 => days(number / 10_000, number / 100 % 100, number % 100),
        4 if b"-/.:".contains(&at.peek())
            && !at.0[1..].starts_with(|c: char| c.is_ascii_alphabetic() && c != 'W') =>
        {
            day_of(&mut at, number)?
        }
        _ => return Ok(None),
    };
    let day_us = day.ok_or(Misread::NoSuch)? * DAY_US;
    if at.0.is_empty() && count == 4 {
        return Ok(Some(Written { clock_us: day_us, place: Place::Unsaid }));
    }

    at.eat(b',');
    let separator = at.take_while(|byte| matches!(byte, b' ' | b'T' | b't' | b'_'));
    if separator.is_empty() || separator.trim_start_matches(' ').len() > 1 {
        return Err(Misread::Unknown);
    }
    let clock_us = day_us + at.clock()?;
    let place = at.place()?;
    if at.0.is_empty() { Ok(Some(Written { clock_us, place })) } else { Err(Misread::Unknown) }
}

/// The day of a year, from the separator on: `-05-01`, `/5/1`, `-122`, `-W18-3`, `-05`; no day
/// where the calendar has none.
fn day_of(at: &mut Cursor<'_>, year: i64) -> Result<Option<i64>, Misread> {
    let separator = at.peek();
    at.eat(separator);
    if at.eat(b'W') {
        let nth = at.digits(2).filter(|_| separator == b'-').ok_or(Misread::Unknown)?;
        let weekday = if at.eat(b'-') { at.digits(1).ok_or(Misread::Unknown)? } else { 1 };
        return Ok(week(year, nth, weekday));
    }

    let (number, count) = at.number().ok_or(Misread::Unknown)?;
    if count == 3 && separator == b'-' {
        return Ok(ordinal(year, number));
    }
    if count > 2 {
        return Err(Misread::Unknown);
    }
    if at.0.is_empty() && count == 2 && separator == b'-' {
        return Ok(days(year, number, 1));
    }
    if !at.eat(separator) {
        return Err(Misread::Unknown);
    }
    let (day, count) = at.number().ok_or(Misread::Unknown)?;
    if count > 2 { Err(Misread::Unknown) } else { Ok(days(year, number, day)) }
}
