//! InfluxDB's line protocol: a line becomes a JSON object with the measurement, the tags, the
//! fields and the time as its columns.
//! It must not know which of them a pipeline reads.
//!
//! `measurement,tag=value field="text",other=1i 1465839830100400200`, by InfluxDB's documentation
//! (<https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/>). A backslash escapes
//! comma, space and, in keys and tag values, the equals sign; in texts, quotes and backslashes.
//! Before anything else it stands for itself.

use std::collections::BTreeSet;
use std::fmt::Write;

use jiff::Timestamp;
use tickcast_stream::message::EventTime;

/// The column of the measurement.
const MEASUREMENT: &str = "measurement";
/// The column of the time.
const TIME: &str = "time";

/// The unit of the times of lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precision {
    /// Nanoseconds.
    #[default]
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
}

impl Precision {
    /// The one that a request names. Errors: what the words are.
    pub fn named(word: &str) -> Result<Self, String> {
        match word {
            "ns" | "n" => Ok(Precision::Nanoseconds),
            "us" | "u" => Ok(Precision::Microseconds),
            "ms" => Ok(Precision::Milliseconds),
            "s" => Ok(Precision::Seconds),
            _ => Err("precision is one of ns, us, ms, s".into()),
        }
    }

    fn nanoseconds(self) -> i128 {
        match self {
            Precision::Nanoseconds => 1,
            Precision::Microseconds => 1_000,
            Precision::Milliseconds => 1_000_000,
            Precision::Seconds => 1_000_000_000,
        }
    }
}

/// The line as a JSON object. A line without a time gets `at`. Errors: why it is no line, for a
/// person.
pub fn to_json(line: &[u8], precision: Precision, at: EventTime) -> Result<String, String> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?.trim_matches(['\r', ' ']);
    let mut rest = Cursor(line);
    let mut object = Object { text: "{".into(), names: BTreeSet::new() };

    let measurement = rest.word(&[',', ' ']);
    if measurement.is_empty() {
        return Err("it has no measurement".into());
    }
    object.put(MEASUREMENT, &quoted(&measurement))?;
    while rest.take(',') {
        let name = rest.word(&['=', ',', ' ']);
        if name.is_empty() || !rest.take('=') {
            return Err(format!("a tag is name=value, at {}", rest.shown()));
        }
        let value = rest.word(&['=', ',', ' ']);
        if value.is_empty() || rest.0.starts_with('=') {
            return Err(format!("the tag {name} has no value that can be read, at {}", rest.shown()));
        }
        object.put(&name, &quoted(&value))?;
    }

    if !rest.spaces() {
        return Err(format!("it has no fields behind a space, at {}", rest.shown()));
    }
    loop {
        let name = rest.word(&['=', ',', ' ']);
        if name.is_empty() || !rest.take('=') {
            return Err(format!("a field is name=value, at {}", rest.shown()));
        }
        let value = rest.field().map_err(|why| format!("the field {name}: {why}"))?;
        object.put(&name, &value)?;
        if !rest.take(',') {
            break;
        }
    }

    let has_space = rest.spaces();
    let time = match rest.0 {
        "" => Timestamp::from_microsecond(at.0).map_err(|why| why.to_string())?,
        text if has_space => time_of(text, precision)?,
        _ => return Err(format!("a space is expected at {}", rest.shown())),
    };
    object.put(TIME, &format!("\"{time}\""))?;
    object.text.push('}');
    Ok(object.text)
}

fn time_of(text: &str, precision: Precision) -> Result<Timestamp, String> {
    let wrong = || format!("the time {} is no whole number that can be one", shown(text));
    let number: i64 = text.parse().map_err(|_| wrong())?;
    Timestamp::from_nanosecond(i128::from(number) * precision.nanoseconds()).map_err(|_| wrong())
}

/// A JSON object as it grows.
struct Object {
    text: String,
    names: BTreeSet<String>,
}

impl Object {
    /// Errors: when there is a column of this name.
    fn put(&mut self, name: &str, value: &str) -> Result<(), String> {
        if !self.names.insert(name.to_owned()) {
            return Err(format!(
                "{} is there twice: a measurement, tags, fields and a time have names of \
                                their own",
                shown(name)
            ));
        }

        let comma = if self.names.len() > 1 { "," } else { "" };
        // A String takes whatever is written.
        let _ = write!(self.text, "{comma}{}:{value}", quoted(name));
        Ok(())
    }
}

/// What is left of a line.
struct Cursor<'a>(&'a str);

impl Cursor<'_> {
    fn take(&mut self, wanted: char) -> bool {
        let rest = self.0.strip_prefix(wanted);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Whether there was a space, and takes all of them.
    fn spaces(&mut self) -> bool {
        let before = self.0.len();
        self.0 = self.0.trim_start_matches(' ');
        self.0.len() < before
    }

    /// Up to one of `ends` that is not escaped.
    fn word(&mut self, ends: &[char]) -> String {
        let mut word = String::new();

        let mut chars = self.0.char_indices().peekable();
        while let Some((at, char)) = chars.next() {
            match char {
                '\\' => match chars.peek() {
                    Some((_, next)) if matches!(next, ',' | ' ' | '=') => {
                        word.push(*next);
                        chars.next();
                    }
                    _ => word.push('\\'),
                },
                _ if ends.contains(&char) => {
                    self.0 = &self.0[at..];
                    return word;
                }
                _ => word.push(char),
            }
        }
        self.0 = "";
        word
    }

    /// The value of a field, as JSON.
    fn field(&mut self) -> Result<String, String> {
        if self.take('"') {
            return self.text();
        }
        let end = self.0.find([',', ' ']).unwrap_or(self.0.len());
        let (value, rest) = self.0.split_at(end);
        self.0 = rest;

        match value {
            "t" | "T" | "true" | "True" | "TRUE" => return Ok("true".into()),
            "f" | "F" | "false" | "False" | "FALSE" => return Ok("false".into()),
            _ => {}
        }
        let number = match value.strip_suffix(['i', 'u']) {
            Some(digits) if value.ends_with('i') => digits.parse::<i64>().ok().map(|it| it.to_string()),
            Some(digits) => digits.parse::<u64>().ok().map(|it| it.to_string()),
            // NaN and infinity have no JSON, and InfluxDB takes neither.
            None => value.parse::<f64>().ok().filter(|it| it.is_finite()).map(|it| it.to_string()),
        };
        number
            .ok_or_else(|| format!("{} is no number, no true or false, and no text in quotes", shown(value)))
    }

    /// A text behind its opening quote, with the closing one.
    fn text(&mut self) -> Result<String, String> {
        let mut text = String::new();

        let mut chars = self.0.char_indices();
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Ok(quoted(&text));
                }
                '\\' => {
                    let next = self.0[at + 1..].chars().next();
                    if matches!(next, Some('"' | '\\')) {
                        chars.next();
                        text.extend(next);
                    } else {
                        text.push('\\');
                    }
                }
                _ => text.push(char),
            }
        }
        Err("its text has no closing quote (a text with a line break is not taken)".into())
    }

    fn shown(&self) -> String {
        if self.0.is_empty() { "its end".into() } else { shown(self.0) }
    }
}

/// As JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The beginning of a text, for a person.
fn shown(text: &str) -> String {
    let beginning: String = text.chars().take(20).collect();
    let more = if beginning.len() < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", beginning.escape_debug())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(line: &str) -> Result<Value, String> {
        let text = to_json(line.as_bytes(), Precision::Nanoseconds, EventTime(1_000_000))?;
        Ok(serde_json::from_str(&text).unwrap())
    }

    /// The examples of InfluxDB's documentation.
    #[test]
    fn lines_of_the_documentation_are_read() {
        let at = "2016-06-13T17:43:50.1004002Z";
        for (line, object) in [
            (
                r#"weather,location=us-midwest,season=summer temperature=82,ok=t 1465839830100400200"#,
                json!({"measurement": "weather", "location": "us-midwest", "season": "summer",
                       "temperature": 82, "ok": true, "time": at}),
            ),
            (
                r#"myMeasurement,tag1=value1,tag2=value2 fieldKey="fieldValue" 1556813561098000000"#,
                json!({"measurement": "myMeasurement", "tag1": "value1", "tag2": "value2",
                       "fieldKey": "fieldValue", "time": "2019-05-02T16:12:41.098Z"}),
            ),
            (
                r#"weather,location\ place=us-midwest temperature=82 1465839830100400200"#,
                json!({"measurement": "weather", "location place": "us-midwest", "temperature": 82, "time": at}),
            ),
            (
                r#"weather,location=us\,midwest temp\=rature=82 1465839830100400200"#,
                json!({"measurement": "weather", "location": "us,midwest", "temp=rature": 82, "time": at}),
            ),
            (
                r#"wea\,ther,location=us-midwest temperature=82 1465839830100400200"#,
                json!({"measurement": "wea,ther", "location": "us-midwest", "temperature": 82, "time": at}),
            ),
            (
                r#"my\ Measurement fieldKey="string value""#,
                json!({"measurement": "my Measurement", "fieldKey": "string value",
                       "time": "1970-01-01T00:00:01Z"}),
            ),
            (
                r#"weather f="too \"hot\" C:\\x \, \n",o=FALSE,i=-12485903i,u=12485903u,e=-1.234456e+78 1465839830100400200"#,
                json!({"measurement": "weather", "f": "too \"hot\" C:\\x \\, \\n", "o": false, "i": -12485903,
                       "u": 12485903, "e": -1.234456e78, "time": at}),
            ),
            (
                r#"we\ather,l=a\b f=1 -1"#,
                json!({"measurement": "we\\ather", "l": "a\\b", "f": 1, "time": "1969-12-31T23:59:59.999999999Z"}),
            ),
        ] {
            assert_eq!(read(line).as_ref(), Ok(&object), "{line}");
        }
    }

    #[test]
    fn what_is_no_line_is_said() {
        for (line, why) in [
            ("", "it has no measurement"),
            (",a=b c=1", "it has no measurement"),
            ("m", "it has no fields behind a space, at its end"),
            ("m,a f=1", "a tag is name=value, at \" f=1\""),
            ("m,a= f=1", "the tag a has no value that can be read, at \" f=1\""),
            ("m,a=b=c f=1", "the tag a has no value that can be read, at \"=c f=1\""),
            ("m f", "a field is name=value, at its end"),
            ("m f=", "the field f: \"\" is no number, no true or false, and no text in quotes"),
            ("m f=1i2", "the field f: \"1i2\" is no number, no true or false, and no text in quotes"),
            ("m f=NaN", "the field f: \"NaN\" is no number, no true or false, and no text in quotes"),
            ("m f=1e999", "the field f: \"1e999\" is no number, no true or false, and no text in quotes"),
            (
                "m f=99999999999999999999i",
                "the field f: \"99999999999999999999…\" is no number, no true or false, and no text in quotes",
            ),
            ("m f=\"x", "the field f: its text has no closing quote (a text with a line break is not taken)"),
            ("m f=\"x\"y", "a space is expected at \"y\""),
            ("m f=1 soon", "the time \"soon\" is no whole number that can be one"),
            ("m f=1 1 2", "the time \"1 2\" is no whole number that can be one"),
            (
                "m f=1 9999999999999999999",
                "the time \"9999999999999999999\" is no whole number that can be one",
            ),
            (
                "m,f=a f=1",
                "\"f\" is there twice: a measurement, tags, fields and a time have names of their own",
            ),
            (
                "m time=1",
                "\"time\" is there twice: a measurement, tags, fields and a time have names of their own",
            ),
        ] {
            assert_eq!(read(line).unwrap_err(), why, "{line}");
        }
    }

    #[test]
    fn a_time_is_in_the_unit_that_is_said() {
        for (word, number) in [("s", 5_i64), ("ms", 5_000), ("us", 5_000_000), ("ns", 5_000_000_000)] {
            let precision = Precision::named(word).unwrap();
            let json = to_json(format!("m f=1 {number}").as_bytes(), precision, EventTime(0)).unwrap();
            assert!(json.ends_with("\"time\":\"1970-01-01T00:00:05Z\"}"), "{json}");
        }
    }

    fn escaped(text: &str, of: &[char]) -> String {
        let one = |char| if of.contains(&char) { format!("\\{char}") } else { char.to_string() };
        text.chars().map(one).collect()
    }

    proptest! {
        #[test]
        fn whatever_is_escaped_comes_back(
            tag in "[a-z,= ]{0,6}[a-z]", text in "[a-z\"\\\\ é]{0,8}", value: i64, at in 0..4_000_000_000i64,
        ) {
            let word = escaped(&tag, &[',', '=', ' ']);
            let line = format!("m,t={word} s=\"{}\",v={value}i {at}", escaped(&text, &['"', '\\']));
            let json = to_json(line.as_bytes(), Precision::Seconds, EventTime(0)).unwrap();
            let read: Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!((&read["t"], &read["s"], &read["v"]), (&json!(tag), &json!(text), &json!(value)));
        }

        #[test]
        fn any_bytes_are_json_or_refused(bytes: Vec<u8>) {
            if let Ok(json) = to_json(&bytes, Precision::Nanoseconds, EventTime(0)) {
                prop_assert!(serde_json::from_str::<Value>(&json).unwrap().is_object());
            }
        }
    }
}
