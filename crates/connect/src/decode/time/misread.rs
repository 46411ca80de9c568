//! Why a text is no time, in words for a person: what settles it is named.
//! It must not know how a time is read.

use super::spec::TimeFrom;
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
    pub(super) fn detail(self, from: &TimeFrom, text: &str) -> String {
        let key = |rest: &str| match from {
            TimeFrom::Column(column) => format!("`time: {{ column: {column}, {rest} }}`"),
            TimeFrom::Expression(_) => format!("`time: {{ expr: …, {rest} }}`"),
        };
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
                let settled = day_of_another_count(from, text)
                    .unwrap_or_else(|| format!("what it counts is said by {}", key("unit: s")));
                format!("is no count from 1990 to 2100: {settled}")
            }

            Misread::DayOrMonth => {
                let formats: Vec<String> =
                    orders(text).iter().map(|order| format(&format_of(order, text))).collect();
                format!("may begin with the day or the month: say which by {}", formats.join(" or "))
            }
            Misread::ShortYear => {
                let formats: Vec<String> =
                    short_orders(text).into_iter().map(|order| format(&format_of(order, text))).collect();
                let formats = if formats.is_empty() { key("format: …%y…") } else { formats.join(" or ") };
                format!("has a year of two digits: say where it stands by {formats}")
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

        format!("time {}: {} {why}", from.shown(), quote(text))
    }
}

/// What reads a number that is a day of these years as astronomers or spreadsheets count them, if
/// it is one.
fn day_of_another_count(from: &TimeFrom, text: &str) -> Option<String> {
    let (column, day) = (from.column()?, text.parse::<f64>().ok()?);
    let (who, first) = match day {
        32_874.0..73_416.0 => ("a spreadsheet's day", "25569"),
        2_447_892.5..2_488_434.5 => ("a Julian day", "2440587.5"),
        _ => return None,
    };
    Some(format!("{who} is read by `time: {{ expr: \"{column} - {first}\", unit: days }}`"))
}

/// The numbers that a text begins with.
fn numbers(text: &str) -> impl Iterator<Item = u32> {
    text.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().unwrap_or(0))
}

/// The orders that a date like 24-05-01 can be in; none, where a month has a name.
fn short_orders(text: &str) -> Vec<&'static [&'static str; 3]> {
    const ALL: [[&str; 3]; 3] = [["%y", "%m", "%d"], ["%d", "%m", "%y"], ["%m", "%d", "%y"]];
    let first: Vec<u32> = numbers(text).take(3).collect();
    let fits = |order: &&[&str; 3]| {
        order.iter().zip(&first).all(|(part, number)| match *part {
            "%d" => (1..=31).contains(number),
            "%m" => (1..=12).contains(number),
            _ => *number <= 99,
        })
    };
    let has_name = text.contains(|c: char| c.is_ascii_alphabetic() && !"apmAPM.".contains(c));
    if has_name { Vec::new() } else { ALL.iter().filter(fits).collect() }
}

/// The orders that a date like 13/05/2024 can be in.
fn orders(text: &str) -> &'static [[&'static str; 3]] {
    const BOTH: [[&str; 3]; 2] = [["%d", "%m", "%Y"], ["%m", "%d", "%Y"]];
    let mut numbers = numbers(text);
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
