//! How long windows are, as people write it: a time like `1h`, or units of the calendar like `1mo`.
//! It must not know which lengths can be windows.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::StrDeserializer;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::fault::quoted;
use super::scalar::{DAY_US, Length, MS_US};

/// The length of windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WindowLength {
    /// Between a millisecond and 366 days, in microseconds; a day has 24 hours.
    Time(i64),
    /// Weeks from Monday to Sunday.
    Weeks(u32),
    /// Months of the calendar; a quarter has 3, a year 12.
    Months(u32),
}

impl fmt::Display for WindowLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            WindowLength::Time(us) => write!(f, "{:#}", jiff::SignedDuration::from_micros(us)),
            WindowLength::Weeks(weeks) => write!(f, "{weeks}w"),
            WindowLength::Months(months) if months % 12 == 0 => write!(f, "{}y", months / 12),
            WindowLength::Months(months) => write!(f, "{months}mo"),
        }
    }
}

/// Units of the calendar, as people write them.
fn unit_of(word: &str) -> Option<WindowLength> {
    match word {
        "w" | "wk" | "wks" | "week" | "weeks" => Some(WindowLength::Weeks(1)),
        "mo" | "mos" | "month" | "months" => Some(WindowLength::Months(1)),
        "q" | "quarter" | "quarters" => Some(WindowLength::Months(3)),
        "y" | "yr" | "yrs" | "year" | "years" => Some(WindowLength::Months(12)),
        _ => None,
    }
}

impl WindowLength {
    /// Of its own unit: microseconds, weeks or months.
    pub fn count(self) -> i64 {
        match self {
            WindowLength::Time(us) => us,
            WindowLength::Weeks(count) | WindowLength::Months(count) => count.into(),
        }
    }

    fn of<E: Error>(text: &str) -> Result<Self, E> {
        let is_calendar = text.split(|c: char| !c.is_ascii_alphabetic()).any(|word| unit_of(word).is_some());
        if !is_calendar {
            let time = Length::<MS_US, { 366 * DAY_US }>::deserialize(StrDeserializer::new(text))?;
            return Ok(WindowLength::Time(time.0));
        }

        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (count, word) = text.split_at(digits);
        let counted = count.parse::<u32>().ok().filter(|&count| count > 0).zip(unit_of(word.trim_start()));
        let length = counted.and_then(|(count, unit)| match unit {
            WindowLength::Weeks(weeks) => weeks.checked_mul(count).map(WindowLength::Weeks),
            WindowLength::Months(months) => months.checked_mul(count).map(WindowLength::Months),
            WindowLength::Time(_) => None,
        });
        length.ok_or_else(|| {
            let what = format!("{} is no whole number of one unit of the calendar", quoted(text));
            E::custom(format!("{what}\nwrite it like 1w, 1mo, 1q or 1y"))
        })
    }
}

impl<'de> Deserialize<'de> for WindowLength {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WindowLengthVisitor)
    }
}

struct WindowLengthVisitor;

impl Visitor<'_> for WindowLengthVisitor {
    type Value = WindowLength;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a duration like 1h, 1d or 1mo")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        WindowLength::of(text)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        self.visit_f64(number as f64)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        let help = format!("which unit: {number}ms, {number}s, {number}m, {number}h or {number}d?");
        Err(E::custom(format!("a duration without its unit\n{help}")))
    }
}

impl JsonSchema for WindowLength {
    fn schema_name() -> Cow<'static, str> {
        "WindowLength".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["30s", "10m", "1h", "1d", "1w", "1mo", "1q", "1y"] })
    }
}

#[cfg(test)]
mod tests {
    use serde::de::value::Error;

    use super::*;

    fn of(text: &str) -> Result<WindowLength, String> {
        WindowLength::of::<Error>(text).map_err(|error| error.to_string())
    }

    #[test]
    fn times_and_units_of_the_calendar_are_told_apart() {
        let cases = [
            ("1h", WindowLength::Time(3_600_000_000)),
            ("7d", WindowLength::Time(7 * DAY_US)),
            ("1w", WindowLength::Weeks(1)),
            ("2 weeks", WindowLength::Weeks(2)),
            ("1m", WindowLength::Time(60_000_000)),
            ("1mo", WindowLength::Months(1)),
            ("1 month", WindowLength::Months(1)),
            ("2q", WindowLength::Months(6)),
            ("1y", WindowLength::Months(12)),
        ];
        for (text, length) in cases {
            assert_eq!(of(text), Ok(length), "{text}");
        }
        assert_eq!([18, 24].map(|n| WindowLength::Months(n).to_string()), ["18mo", "2y"]);
    }

    #[test]
    fn mixtures_of_units_mean_nothing_certain() {
        for text in ["1mo 2d", "1w 1d", "0mo", "-1mo", "1.5mo", "mo", "99999999999y", "1000000000y"] {
            assert!(of(text).unwrap_err().ends_with("write it like 1w, 1mo, 1q or 1y"), "{text}");
        }
        for text in ["", "1x", "400d", "0s", "1 fortnight"] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
