//! Why a text is no time, in words for a person: what settles it is named.
//! It must not know how a time is read.

use crate::decode::verdict::quote;

/// Why a text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misread {
    /// It is written in no form that is known.
    Unknown,
    /// It is not written as the pipeline's format says.
    OtherFormat,
    /// The calendar or the clock has no such time.
    NoSuch,
    /// It is outside the years 1 to 9999.
    OutOfRange,
    /// It is a number, and what it counts is not known.
    Number {
        /// As a count it is from 1990 to 2100.
        is_count: bool,
        /// As digits of a date it has this format.
        date: Option<&'static str>,
    },
    /// The day or the month may come first.
    DayOrMonth,
    /// The year has two digits.
    ShortYear,
    /// It names no year.
    NoYear,
    /// No such time zone is known.
    NoZone,
    /// The abbreviation of its zone stands for several, or is not one of the pipeline's zone.
    Abbreviation,
    /// Its offset is not that of its zone, or its weekday not that of its date.
    Contradiction,
    /// It comes twice where clocks are put back.
    Twice,
    /// It does not come where clocks are put forward.
    Skipped,
}

impl Misread {
    /// One line, with the key that settles it.
    pub(super) fn detail(self, column: &str, text: &str) -> String {
        let key = |rest: &str| format!("`time: {{ column: {column}, {rest} }}`");
        let format = |format: &str| key(&format!("format: \"{format}\""));

        let why = match self {
            Misread::Unknown => {
                format!("is no time in a known form; how it is written is said by {}", key("format: …"))
            }
            Misread::OtherFormat => "is not written as `time.format` says".to_owned(),
            Misread::NoSuch => "is no time of the calendar".to_owned(),
            Misread::OutOfRange => "is no time in the years 1 to 9999".to_owned(),
            Misread::Number { is_count: true, date: Some(date) } => {
                format!("may be a count or a date: say which by {} or {}", key("unit: s"), format(date))
            }
            Misread::Number { date: Some(date), .. } => {
                format!("is no count from 1990 to 2100: a date is read with {}", format(date))
            }
            Misread::Number { date: None, .. } => {
                format!("is no count from 1990 to 2100: what it counts is said by {}", key("unit: s"))
            }

            Misread::DayOrMonth => {
                let formats: Vec<String> =
                    orders(text).iter().map(|order| format(&format_of(order, text))).collect();
                format!("may begin with the day or the month: say which by {}", formats.join(" or "))
            }
            Misread::ShortYear => {
                format!("has a year of two digits: say where it stands by {}", key("format: …%y…"))
            }
            Misread::NoYear => "names no year".to_owned(),
            Misread::NoZone => "names a time zone that does not exist".to_owned(),
            Misread::Abbreviation => {
                format!("names its zone by letters that stand for several: say it by {}", key("zone: …"))
            }
            Misread::Contradiction => {
                "contradicts itself: its offset is not its zone's, or its weekday not its date's".to_owned()
            }
            Misread::Twice => {
                format!("comes twice, clocks are put back: say which by {}", key("ambiguous: earlier"))
            }
            Misread::Skipped => "does not exist in its time zone: clocks are put forward over it".to_owned(),
        };

        format!("time `{column}`: {} {why}", quote(text))
    }
}

/// The orders that a date like 13/05/2024 can be in.
fn orders(text: &str) -> &'static [[&'static str; 3]] {
    const BOTH: [[&str; 3]; 2] = [["%d", "%m", "%Y"], ["%m", "%d", "%Y"]];
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().unwrap_or(0));
    match (numbers.next(), numbers.next()) {
        (Some(13..=31), Some(1..=12)) => &BOTH[..1],
        (Some(1..=12), Some(13..=31)) => &BOTH[1..],
        _ => &BOTH,
    }
}

/// The format of a text that begins with a date in this order.
fn format_of(order: &[&str; 3], text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let has_half = lower.contains("am") || lower.contains("pm");
    let clock = if has_half { ["%I", "%M", "%S"] } else { ["%H", "%M", "%S"] };
    let mut parts = order.iter().chain(&clock);

    let mut format = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let taken = if digits > 0 {
            if format.ends_with("%S.") {
                format.truncate(format.len() - 1);
                format.push_str("%.f");
            } else {
                format.push_str(parts.next().copied().unwrap_or("…"));
            }
            digits
        } else if letters > 1 {
            format.push_str(if has_half { "%p" } else { "%Q" });
            letters
        } else {
            format.push(first);
            first.len_utf8()
        };
        rest = &rest[taken..];
    }
    format
}
