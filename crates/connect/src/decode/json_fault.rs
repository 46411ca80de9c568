//! Why a JSON payload is no record, for a person; it is asked for only where one is not.
//! It must not know what the fields mean.
//!
//! Where the text is no JSON the words are those of `serde_json`; where a value does not fit they
//! are those of Arrow.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use serde::de::IgnoredAny;

use super::json_scanner::{MAX_DEPTH, Malformed};
use super::verdict::quote;

/// Characters of Arrow's words that are shown.
const SHOWN_CHARS: usize = 120;

/// What is wrong with a payload of which the fields `names` are wanted. `scanned`: whether it is an
/// object that is not nested too deep.
pub(super) fn fault(payload: &str, scanned: Result<(), Malformed>, names: &[String]) -> String {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(payload) {
        return format!("not JSON: {error}: {}", quote(payload));
    }
    if !payload.trim_ascii_start().starts_with('{') {
        return format!("a JSON object is expected, not {}", quote(payload));
    }

    match scanned {
        Err(Malformed) => format!("JSON nested deeper than {MAX_DEPTH} levels"),
        Ok(()) => match read(payload, names) {
            Err(error) => shown(&error),
            Ok(()) => format!("not a flat JSON object: {}", quote(payload)),
        },
    }
}

/// Reads the payload as Arrow does, for its error. It writes a value that does not fit by
/// recursion: the depth has to be bounded already.
fn read(payload: &str, names: &[String]) -> Result<(), ArrowError> {
    let fields: Vec<Field> = names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
    let mut decoder = ReaderBuilder::new(Arc::new(Schema::new(fields)))
        .with_batch_size(1)
        .with_coerce_primitive(true)
        .build_decoder()?;

    decoder.decode(payload.as_bytes())?;
    decoder.flush().map(drop)
}

/// Arrow's words on one line: `whilst decoding field 'temp': expected string got [1, 2]`.
fn shown(error: &ArrowError) -> String {
    let words = error.to_string().replace("Json error: ", "");
    let words =
        words.replace("whilst decoding field ", "column ").replace("expected string got", "no value but");
    let mut line: String =
        words.chars().take(SHOWN_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if words.chars().nth(SHOWN_CHARS).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_words() {
        let names = ["a", "b"].map(String::from);
        let words = |payload: &str, scanned| fault(payload, scanned, &names);
        let malformed = Err(Malformed);
        assert!(words("{\"a\":nan}", malformed).starts_with("not JSON: "));
        assert_eq!(words(" 7", malformed), "a JSON object is expected, not ` 7`");
        assert_eq!(words("{}", malformed), "JSON nested deeper than 128 levels");
        assert_eq!(words(r#"{"b":{"x":1},"a":[1,"x"]}"#, Ok(())), r#"column 'a': no value but [1, "x"]"#);
        let lone = "Invalid UTF-16 surrogate pair. High: 0xD83D, Low: 0x41";
        assert_eq!(words(r#"{"c":"\ud83d\u0041"}"#, Ok(())), lone);
    }
}
