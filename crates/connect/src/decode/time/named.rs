//! Times whose month has a name: `1 May 2024`, `May 1, 2024 1:30 PM`, RFC 2822, ctime and what
//! programming languages print.
//! It must not know forms of digits alone, but to say why they are refused.

use super::civil::{DAY_US, HOUR_US, days, weekday_of};
use super::cursor::Cursor;
use super::misread::Misread;
use super::written::{Place, Written};

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// What has been found so far.
#[derive(Default)]
struct Found<'a> {
    weekday: Option<i64>,
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    clock: Option<i64>,
    place: Option<Place<'a>>,
    /// Day, month, year, clock, as RFC 2822 has them.
    is_mail: bool,
}

/// Reads a text whose month has a name.
pub(super) fn read(text: &str) -> Result<Written<'_>, Misread> {
    refuse_digits(text)?;
    let (mut found, mut at) = (Found::default(), Cursor(text));
    while !at.0.is_empty() {
        match at.peek() {
            b'0'..=b'9' => number(&mut at, &mut found)?,
            byte if byte.is_ascii_alphabetic() => word(&mut at, &mut found)?,
            _ if at.take_while(|byte| b" ,.-/:".contains(&byte)).is_empty() => return Err(Misread::Unknown),
            _ => {}
        }
    }
    found.written()
}

/// Refuses a date of digits that does not begin with four.
fn refuse_digits(text: &str) -> Result<(), Misread> {
    let mut at = Cursor(text);
    let parts = at.number().filter(|(_, count)| *count <= 2).and_then(|_| {
        let separator = at.peek();
        let second = (b"-/.".contains(&separator) && at.eat(separator)).then(|| at.number())??;
        at.eat(separator).then(|| at.number())?.filter(|_| second.1 <= 2)
    });
    match parts {
        Some((_, 4)) => Err(Misread::DayOrMonth),
        Some(_) => Err(Misread::ShortYear),
        None => Ok(()),
    }
}

fn number<'a>(at: &mut Cursor<'a>, found: &mut Found<'a>) -> Result<(), Misread> {
    let start = *at;
    let (number, count) = at.number().ok_or(Misread::Unknown)?;
    let is_clock = count <= 2 && found.clock.is_none() && (at.peek() == b':' || at.half_of_day().is_some());
    if is_clock {
        *at = start;
        found.clock = Some(at.clock()?);
        let mut ahead = *at;
        ahead.skip_blanks();
        if matches!(ahead.0.as_bytes(), [b'+' | b'-', b'0'..=b'9', ..]) {
            found.place = Some(at.place()?);
        }
        return Ok(());
    }

    match count {
        4 if found.year.is_none() => {
            found.is_mail &= found.month.is_some() && found.clock.is_none();
            found.year = Some(number);
        }
        1 | 2 if found.day.is_none() => {
            found.is_mail = found.month.is_none() && found.clock.is_none();
            found.day = Some(number);
            at.take_while(|byte| byte.is_ascii_lowercase());
        }
        1 | 2 if found.year.is_none() => return Err(Misread::ShortYear),
        _ => return Err(Misread::Unknown),
    }
    Ok(())
}

fn word<'a>(at: &mut Cursor<'a>, found: &mut Found<'a>) -> Result<(), Misread> {
    let start = *at;
    let word = at.take_while(|byte| byte.is_ascii_alphabetic()).to_ascii_lowercase();
    // As many letters as a name has, or three of them; four of September.
    let named = |names: &[&str]| {
        let is_short =
            word.len() == 3 || word == "sept" || word == "tues" || word == "thur" || word == "thurs";
        names.iter().position(|name| *name == word || (is_short && name.starts_with(&word)))
    };
    match (named(&MONTHS), named(&WEEKDAYS)) {
        (Some(month), _) if found.month.is_none() => found.month = Some(month as i64 + 1),
        (_, Some(weekday)) if found.weekday.is_none() => found.weekday = Some(weekday as i64),
        _ if word == "at" && found.clock.is_none() => {}
        _ if found.clock.is_some() && found.place.is_none() => {
            *at = start;
            found.place = Some(at.place()?);
        }
        _ => return Err(Misread::Unknown),
    }
    Ok(())
}

impl<'a> Found<'a> {
    fn written(self) -> Result<Written<'a>, Misread> {
        let (Some(month), Some(day)) = (self.month, self.day) else { return Err(Misread::Unknown) };
        let year = self.year.ok_or(Misread::NoYear)?;
        let day = days(year, month, day).ok_or(Misread::NoSuch)?;
        if self.weekday.is_some_and(|weekday| weekday != weekday_of(day)) {
            return Err(Misread::Contradiction);
        }

        let place = match self.place.unwrap_or(Place::Unsaid) {
            // In a mail's date the letters are American.
            Place::Abbreviation(word) if self.is_mail && word.eq_ignore_ascii_case("cst") => {
                Place::Offset(-6 * HOUR_US)
            }
            place => place,
        };
        Ok(Written { clock_us: day * DAY_US + self.clock.unwrap_or(0), place })
    }
}
