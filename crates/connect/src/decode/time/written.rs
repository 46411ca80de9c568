//! A time as it is written: what a clock shows, and which clock that is.
//! It must not know in which form it was written.

use jiff::tz::TimeZone;

use super::civil::HOUR_US;
use super::misread::Misread;
use super::spec::Ambiguous;
use super::zone::{instant, instant_ahead};

/// A time as it is written.
#[derive(Debug, Clone)]
pub(super) struct Written<'a> {
    /// What the clock shows, in microseconds since 1970.
    pub(super) clock_us: i64,
    /// Where the clock is.
    pub(super) place: Place<'a>,
}

/// Where a clock is.
#[derive(Debug, Clone)]
pub(super) enum Place<'a> {
    /// Not said.
    Unsaid,
    /// So far ahead of UTC.
    Offset(i64),
    /// In a zone.
    Zone(TimeZone),
    /// So far ahead of UTC, as the zone's clocks have to be.
    OffsetIn(i64, TimeZone),
    /// Where clocks are called so.
    Abbreviation(&'a str),
}

impl Written<'_> {
    /// The instant; `zone` is where clocks are of which nothing is said.
    pub(super) fn instant(&self, zone: Option<&TimeZone>, ambiguous: Ambiguous) -> Result<i64, Misread> {
        let clock_us = self.clock_us;
        match (&self.place, zone) {
            (Place::Unsaid, None) => Ok(clock_us),
            (Place::Unsaid, Some(zone)) => instant(clock_us, zone, None, ambiguous),
            (Place::Offset(offset), _) => Ok(clock_us - offset),
            (Place::Zone(zone), _) => instant(clock_us, zone, None, ambiguous),
            (Place::OffsetIn(offset, zone), _) => {
                instant_ahead(clock_us, zone, *offset).ok_or(Misread::Contradiction)
            }
            (Place::Abbreviation(word), Some(zone)) => instant(clock_us, zone, Some(word), ambiguous),
            (Place::Abbreviation(word), None) => {
                american(word).map(|offset| clock_us - offset).ok_or(Misread::Abbreviation)
            }
        }
    }
}

/// The American abbreviations that RFC 2822 defines, but CST: China's clocks are called so too.
fn american(word: &str) -> Option<i64> {
    let hours = match word.to_ascii_uppercase().as_str() {
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        _ => return None,
    };
    Some(hours * HOUR_US)
}
