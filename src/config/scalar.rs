//! Values of the raw file that are checked as they are read: bounded numbers, durations, ordered
//! maps.
//! It must not know which key they belong to.

use std::borrow::Cow;
use std::fmt;

use jiff::SpanRelativeTo;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::fault::quoted;

/// A whole number in `MIN..=MAX`.
#[derive(Clone, Copy)]
pub(super) struct Whole<const MIN: i64, const MAX: i64>(pub i64);

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(WholeVisitor)
    }
}

/// Judges the bounds inside the visit, where the deserialiser still knows the place.
struct WholeVisitor<const MIN: i64, const MAX: i64>;

impl<const MIN: i64, const MAX: i64> Visitor<'_> for WholeVisitor<MIN, MAX> {
    type Value = Whole<MIN, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        match value {
            value if value < MIN => Err(E::custom(format!("{value} is too small, at least {MIN}"))),
            value if value > MAX => Err(E::custom(format!("{value} is too large, at most {MAX}"))),
            value => Ok(Whole(value)),
        }
    }
}

impl<const MIN: i64, const MAX: i64> JsonSchema for Whole<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("Whole_{MIN}_{MAX}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

pub(super) const MS_US: i64 = 1_000;
pub(super) const S_US: i64 = 1_000 * MS_US;
pub(super) const HOUR_US: i64 = 3_600 * S_US;
pub(super) const DAY_US: i64 = 24 * HOUR_US;

/// A duration like `1h 30m` of `MIN_US..=MAX_US` microseconds; a day has 24 hours.
#[derive(Clone, Copy)]
pub(super) struct Length<const MIN_US: i64, const MAX_US: i64>(pub i64);

impl<'de, const MIN_US: i64, const MAX_US: i64> Deserialize<'de> for Length<MIN_US, MAX_US> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LengthVisitor)
    }
}

struct LengthVisitor<const MIN_US: i64, const MAX_US: i64>;

impl<const MIN_US: i64, const MAX_US: i64> Visitor<'_> for LengthVisitor<MIN_US, MAX_US> {
    type Value = Length<MIN_US, MAX_US>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a duration like 10m")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let duration = text
            .parse::<jiff::Span>()
            .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
            .map_err(|_| E::custom(format!("invalid duration {}\nwrite it like 10m", quoted(text))))?;
        match duration.as_micros() {
            us if us < MIN_US.into() => {
                Err(E::custom(format!("{} is too short, at least {}", quoted(text), words(MIN_US))))
            }
            us if us > MAX_US.into() => {
                Err(E::custom(format!("{} is too long, at most {}", quoted(text), words(MAX_US))))
            }
            us => Ok(Length(us as i64)),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        self.visit_f64(number as f64)
    }

    /// Nothing has no unit; any other bare number might be of any.
    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        if number == 0.0 {
            return self.visit_str("0s");
        }
        let help = format!("which unit: {number}ms, {number}s, {number}m, {number}h or {number}d?");
        Err(E::custom(format!("a duration without its unit\n{help}")))
    }
}

/// A bound as people say it.
fn words(us: i64) -> String {
    match us {
        us if us < 0 => format!("-{}", words(-us)),
        us if us >= DAY_US => format!("{}d", us / DAY_US),
        us if us >= HOUR_US => format!("{}h", us / HOUR_US),
        us if us >= S_US => format!("{}s", us / S_US),
        us => format!("{}ms", us / MS_US),
    }
}

impl<const MIN_US: i64, const MAX_US: i64> JsonSchema for Length<MIN_US, MAX_US> {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["100ms", "30s", "10m", "1h 30m", "1d"] })
    }
}

/// A map of names to text in the order of the file.
#[derive(Default)]
pub(super) struct Ordered(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OrderedVisitor)
    }
}

struct OrderedVisitor;

impl<'de> Visitor<'de> for OrderedVisitor {
    type Value = Ordered;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Ordered(entries))
    }
}

impl JsonSchema for Ordered {
    fn schema_name() -> Cow<'static, str> {
        "Ordered".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } })
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, F64Deserializer, StrDeserializer};

    use super::*;

    type Any = Length<0, { 366 * DAY_US }>;

    fn length(text: &str) -> Result<i64, String> {
        let text: StrDeserializer<Error> = text.into_deserializer();
        Any::deserialize(text).map(|length| length.0).map_err(|error| error.to_string())
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        let cases = [
            ("100ms", 100 * MS_US),
            ("30s", 30 * S_US),
            ("10m", 600 * S_US),
            ("1h", HOUR_US),
            ("1h 30m", HOUR_US + 1_800 * S_US),
            ("1d", DAY_US),
            ("2 weeks", 14 * DAY_US),
            ("0s", 0),
        ];
        for (text, us) in cases {
            assert_eq!(length(text), Ok(us), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_told_how_to_be_one() {
        assert_eq!(length("10 bananas").unwrap_err(), "invalid duration \"10 bananas\"\nwrite it like 10m");
        assert_eq!(length("400d").unwrap_err(), "\"400d\" is too long, at most 366d");
        for text in ["", "1 month", "1y", "-5m", "h", "99999999999999999999s"] {
            assert!(length(text).is_err(), "{text}");
        }
        let bare: F64Deserializer<Error> = 10.0.into_deserializer();
        assert!(Any::deserialize(bare).err().unwrap().to_string().contains("10ms, 10s, 10m, 10h or 10d?"));
    }
}
