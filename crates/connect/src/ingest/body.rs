//! From the body of a request to records: each the bytes that a pipeline decodes.
//! It must not decode them: what is a record but has no key or no time becomes a reject later.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use serde::de::IgnoredAny;
use tickcast_stream::message::EventTime;

use super::line_protocol::{Precision, to_json};
use super::refusal::Refusal;
use crate::decode::{MAX_RECORD_BYTES, WireFormat};

/// What is in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// Objects, each on a line or in one array.
    Json,
    /// A record a line.
    Csv,
    /// InfluxDB's line protocol.
    Lines(Precision),
    /// The body is one record.
    Whole,
}

/// What bodies may be.
#[derive(Debug, Clone)]
pub struct BodySpec {
    /// What the pipeline decodes.
    pub format: WireFormat,
    /// The line that a body of CSV may begin with: it has the names of the columns.
    pub csv_header: Option<String>,
}

impl BodySpec {
    /// What a body of this media type is. `precision`: what the request says of times, as InfluxDB
    /// does. Errors: `WrongType`, naming those that are taken.
    pub fn kind(&self, media_type: Option<&str>, precision: Option<&str>) -> Result<BodyKind, Refusal> {
        let precision = precision.map(Precision::named).transpose().map_err(Refusal::NotRecords)?;
        let essence = media_type.and_then(|text| text.split(';').next()).unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        let is_json = self.format == WireFormat::Json;

        // A form is what curl says of everything that nothing is said of.
        let kind = match essence.as_str() {
            "" | "application/x-www-form-urlencoded" => match self.format {
                WireFormat::Json if precision.is_some() => Some(BodyKind::Lines(Precision::default())),
                WireFormat::Json => Some(BodyKind::Json),
                WireFormat::Csv => Some(BodyKind::Csv),
                _ => Some(BodyKind::Whole),
            },
            "application/json" | "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
                is_json.then_some(BodyKind::Json)
            }
            "text/plain" => is_json.then_some(BodyKind::Lines(Precision::default())),
            "text/csv" => (self.format == WireFormat::Csv).then_some(BodyKind::Csv),
            "application/octet-stream"
            | "application/avro"
            | "application/protobuf"
            | "application/x-protobuf" => {
                matches!(self.format, WireFormat::Avro | WireFormat::Protobuf).then_some(BodyKind::Whole)
            }
            _ => None,
        };
        match (kind, precision) {
            (Some(BodyKind::Lines(_)), Some(precision)) => Ok(BodyKind::Lines(precision)),
            (Some(kind), _) => Ok(kind),
            (None, _) => Err(Refusal::WrongType(format!("this takes {}", self.media_types()))),
        }
    }

    fn media_types(&self) -> &'static str {
        match self.format {
            WireFormat::Json => {
                "application/x-ndjson, application/json, or text/plain for InfluxDB's line protocol"
            }
            WireFormat::Csv => "text/csv",
            _ => "application/octet-stream, one record a request",
        }
    }

    /// The records of a body that came at this time. Errors: `NotRecords` and `TooLarge`, naming
    /// the line.
    pub fn records(&self, kind: BodyKind, body: &Bytes, at: EventTime) -> Result<Vec<Bytes>, Refusal> {
        let records = match kind {
            BodyKind::Json => json_records(body)?,
            BodyKind::Csv => self.csv_records(body)?,
            BodyKind::Lines(precision) => line_protocol_records(body, precision, at)?,
            BodyKind::Whole if body.is_empty() => Vec::new(),
            BodyKind::Whole => vec![sized(|| 1, body.clone())?],
        };

        if records.is_empty() {
            return Err(Refusal::NotRecords("the body has no records".into()));
        }
        Ok(records)
    }

    fn csv_records(&self, body: &Bytes) -> Result<Vec<Bytes>, Refusal> {
        let mut records = Vec::new();
        for (number, line) in lines(body) {
            let is_header =
                number == 1 && self.csv_header.as_ref().is_some_and(|names| line == names.as_bytes());
            if is_header {
                continue;
            }
            if line.iter().filter(|byte| **byte == b'"').count() % 2 == 1 {
                let what = format!("line {number}: a quote is open at its end; a record is one line");
                return Err(Refusal::NotRecords(what));
            }
            records.push(sized(|| number, body.slice_ref(line))?);
        }
        Ok(records)
    }
}

/// The lines that are not empty, without their ends, numbered from 1.
fn lines(body: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let numbered = body.split(|byte| *byte == b'\n').zip(1..).map(|(line, number)| (number, line));
    let bare = numbered.map(|(number, line)| (number, line.strip_suffix(b"\r").unwrap_or(line)));
    bare.filter(|(_, line)| !line.trim_ascii().is_empty())
}

fn line_protocol_records(body: &Bytes, precision: Precision, at: EventTime) -> Result<Vec<Bytes>, Refusal> {
    let mut records = Vec::new();
    for (number, line) in lines(body) {
        if line.trim_ascii_start().starts_with(b"#") {
            continue;
        }
        let json = to_json(line, precision, at);
        let json = json.map_err(|why| Refusal::NotRecords(format!("line {number}: {why}")))?;
        records.push(sized(|| number, json.into())?);
    }
    Ok(records)
}

/// The objects of a body: behind each other, or the elements of arrays.
fn json_records(body: &Bytes) -> Result<Vec<Bytes>, Refusal> {
    let line_at = |at: usize| 1 + body[..at].iter().filter(|byte| **byte == b'\n').count();
    let refused = |at: usize, why: &str| Refusal::NotRecords(format!("line {}: {why}", line_at(at)));
    if let Err(error) = std::str::from_utf8(body) {
        return Err(refused(error.valid_up_to(), "it is not UTF-8"));
    }

    let (mut records, mut in_array, mut wants_comma) = (Vec::new(), false, false);
    let mut at = 0;
    loop {
        at += body[at..].len() - body[at..].trim_ascii_start().len();
        let Some(byte) = body.get(at) else { break };
        match byte {
            b'[' if !in_array => (in_array, wants_comma) = (true, false),
            b']' if in_array && (wants_comma || is_empty_array(body, at)) => in_array = false,
            b',' if in_array && wants_comma => wants_comma = false,
            b'{' if !(in_array && wants_comma) => {
                let length = json_length(&body[at..]).map_err(|why| refused(at, &why))?;
                records.push(sized(|| line_at(at), body.slice(at..at + length))?);
                wants_comma = true;
                at += length;
                continue;
            }
            _ => return Err(refused(at, "a JSON object is expected here")),
        }
        at += 1;
    }
    if in_array {
        return Err(refused(body.len(), "the array is not closed"));
    }
    Ok(records)
}

/// Whether nothing is between this bracket and the one that opens its array.
fn is_empty_array(body: &[u8], close: usize) -> bool {
    body[..close].trim_ascii_end().last() == Some(&b'[')
}

/// The bytes of the JSON value at the beginning.
fn json_length(bytes: &[u8]) -> Result<usize, String> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => Ok(values.byte_offset()),
        Some(Err(error)) => Err(format!("it is not JSON: {error}")),
        None => Err("there is no value".into()),
    }
}

/// A record that is not too large.
/// `line` says where it is: that is looked for only where it is told.
fn sized(line: impl FnOnce() -> usize, record: Bytes) -> Result<Bytes, Refusal> {
    if record.len() > MAX_RECORD_BYTES {
        let (line, bytes) = (line(), record.len());
        let what = format!("line {line}: a record of {bytes} bytes, {MAX_RECORD_BYTES} are allowed");
        return Err(Refusal::TooLarge(what));
    }
    Ok(record)
}

/// A body out of gzip. Errors: `NotRecords`, when it is none, and `TooLarge`, when it has more than
/// `bytes_max`, before more are unpacked.
pub fn unzip(body: &[u8], bytes_max: usize) -> Result<Bytes, Refusal> {
    let mut bytes = Vec::new();
    let mut reader = MultiGzDecoder::new(body).take(bytes_max as u64 + 1);
    let read = reader.read_to_end(&mut bytes);
    read.map_err(|why| Refusal::NotRecords(format!("the body is no gzip, or cut off: {why}")))?;
    if bytes.len() > bytes_max {
        let what = format!("the body has more than {bytes_max} bytes when it is unpacked");
        return Err(Refusal::TooLarge(what));
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn spec(format: WireFormat) -> BodySpec {
        BodySpec { format, csv_header: Some("t,x".into()) }
    }

    fn read(format: WireFormat, kind: BodyKind, body: &str) -> Result<Vec<String>, String> {
        let records = spec(format).records(kind, &Bytes::copy_from_slice(body.as_bytes()), EventTime(0));
        let text = |record: Bytes| String::from_utf8(record.to_vec()).unwrap();
        records.map(|all| all.into_iter().map(text).collect()).map_err(|refusal| refusal.to_string())
    }

    fn json(body: &str) -> Result<Vec<String>, String> {
        read(WireFormat::Json, BodyKind::Json, body)
    }

    #[test]
    fn json_comes_as_lines_as_an_array_and_as_one_object() {
        let both = Ok(vec![r#"{"a": 1}"#.to_owned(), r#"{"b":[{}]}"#.to_owned()]);
        for body in [
            "{\"a\": 1}\n{\"b\":[{}]}\n",
            "\r\n{\"a\": 1}\r\n\r\n{\"b\":[{}]}",
            " [ {\"a\": 1} ,\n {\"b\":[{}]} ] ",
            "[{\"a\": 1}]\n[]\n[{\"b\":[{}]}]",
        ] {
            assert_eq!(json(body), both, "{body}");
        }
        assert_eq!(json("{\n \"a\":\n 1}").unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_record_is_named_by_its_line() {
        for (body, why) in [
            ("{\"a\":1}\n{\"a\":}", "line 2: it is not JSON: expected value at line 1 column 6"),
            ("{\"a\":1}\n7", "line 2: a JSON object is expected here"),
            ("[{\"a\":1} {\"a\":1}]", "line 1: a JSON object is expected here"),
            ("[{\"a\":1},\n]", "line 2: a JSON object is expected here"),
            ("[,{}]", "line 1: a JSON object is expected here"),
            ("[[{}]]", "line 1: a JSON object is expected here"),
            ("[{}\n", "line 2: the array is not closed"),
            ("{}]", "line 1: a JSON object is expected here"),
            ("{\"a\":1", "line 1: it is not JSON: EOF while parsing an object at line 1 column 6"),
            ("", "the body has no records"),
            ("[]", "the body has no records"),
            ("\n \n", "the body has no records"),
        ] {
            assert_eq!(json(body).unwrap_err(), why, "{body}");
        }
        let bytes = Bytes::from_static(b"{}\n{\"a\":\"\xff\"}");
        let refused = spec(WireFormat::Json).records(BodyKind::Json, &bytes, EventTime(0)).unwrap_err();
        assert_eq!(refused.to_string(), "line 2: it is not UTF-8");
        let large = format!("{{}}\n{{\"a\":\"{}\"}}", "x".repeat(MAX_RECORD_BYTES));
        assert!(json(&large).unwrap_err().starts_with("line 2: a record of 9000"));
        let deep = format!("{{\"a\":{}", "[".repeat(1_000_000));
        assert!(json(&deep).is_err());
    }

    /// The line of each record was counted from the body's beginning: 100,000 records took minutes.
    #[test]
    fn a_body_of_many_records_is_read_once() {
        let began = std::time::Instant::now();
        assert_eq!(json(&"{\"v\":1}\n".repeat(500_000)).unwrap().len(), 500_000);
        assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
    }

    #[test]
    fn csv_is_a_record_a_line_below_a_header_that_may_be_there() {
        let csv = |body| read(WireFormat::Csv, BodyKind::Csv, body);
        for body in ["1,2\n3,4\n", "t,x\r\n1,2\r\n3,4"] {
            assert_eq!(csv(body).unwrap(), ["1,2", "3,4"]);
        }
        assert_eq!(csv("1,2\nt,x").unwrap(), ["1,2", "t,x"]);
        assert!(csv("1,\"2\n3\",4").unwrap_err().starts_with("line 1: a quote is open"));
    }

    #[test]
    fn the_media_type_says_what_a_body_is() {
        let of = |format, media, precision| spec(format).kind(media, precision);
        let lines = |precision| Ok(BodyKind::Lines(Precision::named(precision).unwrap()));
        assert_eq!(of(WireFormat::Json, Some("application/JSON; charset=utf-8"), None), Ok(BodyKind::Json));
        assert_eq!(of(WireFormat::Json, None, None), Ok(BodyKind::Json));
        assert_eq!(of(WireFormat::Json, None, Some("s")), lines("s"));
        assert_eq!(of(WireFormat::Json, Some("text/plain"), None), lines("ns"));
        assert_eq!(of(WireFormat::Csv, Some("application/x-www-form-urlencoded"), None), Ok(BodyKind::Csv));
        assert_eq!(of(WireFormat::Avro, Some("application/octet-stream"), None), Ok(BodyKind::Whole));
        assert!(matches!(of(WireFormat::Json, Some("image/png"), None), Err(Refusal::WrongType(_))));
        assert!(matches!(of(WireFormat::Csv, Some("text/plain"), None), Err(Refusal::WrongType(_))));
        assert!(matches!(of(WireFormat::Json, None, Some("weeks")), Err(Refusal::NotRecords(_))));
    }

    #[test]
    fn gzip_is_unpacked_up_to_the_bound_and_a_bomb_no_further() {
        let zip = |bytes: &[u8]| {
            let mut zip = GzEncoder::new(Vec::new(), Compression::best());
            zip.write_all(bytes).unwrap();
            zip.finish().unwrap()
        };
        let two = [zip(b"{}"), zip(b"{}")].concat();
        assert_eq!(unzip(&two, 4).unwrap(), "{}{}");
        assert!(matches!(unzip(&two, 3), Err(Refusal::TooLarge(_))));
        let bomb = zip(&vec![b' '; 50 << 20]);
        assert!(bomb.len() < 100_000);
        assert!(matches!(unzip(&bomb, 1 << 20), Err(Refusal::TooLarge(_))));
        assert!(matches!(unzip(&two[..two.len() - 9], 100), Err(Refusal::NotRecords(_))));
        assert!(matches!(unzip(b"{}", 100), Err(Refusal::NotRecords(_))));
    }

    proptest! {
        #[test]
        fn objects_come_out_as_they_went_in(values: Vec<i64>, is_array: bool) {
            let objects: Vec<String> = values.iter().map(|value| format!("{{\"v\": {value}}}")).collect();
            prop_assume!(!objects.is_empty());
            let body = if is_array { format!("[{}]", objects.join(",\n")) } else { objects.join("\n") };
            prop_assert_eq!(json(&body), Ok(objects));
        }
    }
}
