//! A place in an ASCII text, and the pieces of a time that can stand there.
//! It must not know in which order they stand.

use super::civil::{HOUR_US, MINUTE_US, SECOND_US, time_of_day};
use super::misread::Misread;
use super::written::Place;
use super::zone::time_zone;

/// What is still to be read of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a>(pub(super) &'a str);

impl<'a> Cursor<'a> {
    pub(super) fn peek(&self) -> u8 {
        self.0.as_bytes().first().copied().unwrap_or(0)
    }

    /// Passes over as many bytes as fit.
    pub(super) fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'a str {
        let end = self.0.bytes().position(|byte| !fits(byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    /// Passes over this byte, if it stands there.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == byte;
        if is_there {
            self.0 = &self.0[1..];
        }
        is_there
    }

    pub(super) fn skip_blanks(&mut self) {
        self.take_while(|byte| byte == b' ');
    }

    /// A whole number and how many digits it has, at least one and at most nine.
    pub(super) fn number(&mut self) -> Option<(i64, usize)> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        if digits.len() > 9 {
            return None;
        }
        Some((digits.parse().ok()?, digits.len()))
    }

    /// A number of so many digits.
    pub(super) fn digits(&mut self, count: usize) -> Option<i64> {
        self.number().filter(|(_, found)| *found == count).map(|(number, _)| number)
    }

    /// A time of day: `13:30`, `13:30:00,5`, `1330`, `133000`, `13`, `1:30 PM`.
    pub(super) fn clock(&mut self) -> Result<i64, Misread> {
        let (first, count) = self.number().ok_or(Misread::Unknown)?;
        let (hour, minute, mut second, mut has_second) = match count {
            1 | 2 if self.eat(b':') => (first, self.one_or_two()?, 0, false),
            1 | 2 => (first, 0, 0, false),
            4 => (first / 100, first % 100, 0, false),
            6 => (first / 10_000, first / 100 % 100, first % 100, true),
            _ => return Err(Misread::Unknown),
        };
        if count <= 2 && self.eat(b':') {
            (second, has_second) = (self.one_or_two()?, true);
        }
        let fraction_us = if has_second { self.fraction()? } else { 0 };
        let hour = match self.half_of_day() {
            None => hour,
            Some(is_afternoon) if (1..=12).contains(&hour) => hour % 12 + if is_afternoon { 12 } else { 0 },
            Some(_) => return Err(Misread::NoSuch),
        };
        time_of_day(hour, minute, second, fraction_us).ok_or(Misread::NoSuch)
    }

    fn one_or_two(&mut self) -> Result<i64, Misread> {
        self.number().filter(|(_, count)| *count <= 2).map(|(number, _)| number).ok_or(Misread::Unknown)
    }

    /// Microseconds after a point or a comma; what is finer is cut off.
    fn fraction(&mut self) -> Result<i64, Misread> {
        if !self.eat(b'.') && !self.eat(b',') {
            return Ok(0);
        }
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        let us =
            digits.bytes().chain([b'0'; 6]).take(6).fold(0, |us, digit| 10 * us + i64::from(digit - b'0'));
        if digits.is_empty() { Err(Misread::Unknown) } else { Ok(us) }
    }

    /// Whether it is after noon, where one of `AM` and `p.m.` stands there.
    pub(super) fn half_of_day(&mut self) -> Option<bool> {
        let mut ahead = *self;
        ahead.skip_blanks();
        let word = ahead.take_while(|byte| byte.is_ascii_alphabetic() || byte == b'.');
        let is_afternoon = match word.to_ascii_lowercase().as_str() {
            "am" | "a.m." => false,
            "pm" | "p.m." => true,
            _ => return None,
        };
        *self = ahead;
        Some(is_afternoon)
    }

    /// Where the clock is: `Z`, `+02:00`, `GMT+2`, `Europe/Berlin`, `EDT`, or nothing.
    pub(super) fn place(&mut self) -> Result<Place<'a>, Misread> {
        self.skip_blanks();
        if matches!(self.peek(), b'+' | b'-') {
            let offset = self.offset()?;
            // Some write the abbreviation after the offset: it says nothing more.
            self.skip_blanks();
            self.take_while(|byte| byte.is_ascii_uppercase());
            return Ok(Place::Offset(offset));
        }

        let word = self.take_while(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'/' | b'_'));
        if word.contains('/') {
            let tail = self.take_while(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte));
            return zone_of(word, tail);
        }
        match word.to_ascii_uppercase().as_str() {
            "" => Ok(Place::Unsaid),
            "Z" => Ok(Place::Offset(0)),
            "UTC" | "GMT" | "UT" if matches!(self.peek(), b'+' | b'-') => Ok(Place::Offset(self.offset()?)),
            "UTC" | "GMT" | "UT" => Ok(Place::Offset(0)),
            upper if (2..=5).contains(&upper.len()) => Ok(Place::Abbreviation(word)),
            _ => Err(Misread::Unknown),
        }
    }

    /// How far a clock is ahead of UTC: `+02`, `+0200`, `+02:00`, `+02:00:00`.
    fn offset(&mut self) -> Result<i64, Misread> {
        let is_behind = self.eat(b'-');
        if !is_behind {
            self.eat(b'+');
        }
        let (first, count) = self.number().ok_or(Misread::Unknown)?;
        let (hours, minutes) = match count {
            1 | 2 if self.eat(b':') => (first, self.digits(2).ok_or(Misread::Unknown)?),
            1 | 2 => (first, 0),
            4 => (first / 100, first % 100),
            _ => return Err(Misread::Unknown),
        };
        let seconds = if self.eat(b':') { self.digits(2).ok_or(Misread::Unknown)? } else { 0 };
        if hours >= 24 || minutes >= 60 || seconds >= 60 {
            return Err(Misread::NoSuch);
        }
        let us = hours * HOUR_US + minutes * MINUTE_US + seconds * SECOND_US;
        Ok(if is_behind { -us } else { us })
    }
}

/// A zone whose name is in two pieces.
fn zone_of<'a>(word: &str, tail: &str) -> Result<Place<'a>, Misread> {
    time_zone(&format!("{word}{tail}")).map(Place::Zone).map_err(|_| Misread::NoZone)
}
