//! JSON payloads, one object each, as columns of text.
//! It must not know what the texts mean.
//!
//! Numbers keep their digits and truth values become `true` and `false`; of a name that comes twice
//! the last counts; names that are not asked for are passed over. The grammar is serde_json's:
//! arrow's own reader lets pass what is no JSON, such as missing commas, and would join one
//! record's tail to the next one's head.

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::record_batch::RecordBatch;
use serde::de::IgnoredAny;

use super::verdict::quote;

/// Arrow writes a value that does not fit into its error by recursion: an unbounded depth would
/// overflow the stack.
const MAX_DEPTH: usize = 128;

#[derive(Debug)]
pub(super) struct JsonText {
    schema: SchemaRef,
}

impl JsonText {
    /// `schema`: the fields to read, each text.
    pub(super) fn new(schema: SchemaRef) -> Self {
        JsonText { schema }
    }

    /// All payloads, a row each, or why one of them is no record.
    pub(super) fn read(&self, payloads: &[&str]) -> Result<RecordBatch, String> {
        for payload in payloads {
            check_object(payload)?;
        }
        self.read_objects(payloads).map_err(|error| fault(&error))?.ok_or_else(|| "no JSON object".into())
    }

    fn read_objects(&self, payloads: &[&str]) -> Result<Option<RecordBatch>, ArrowError> {
        let mut decoder = ReaderBuilder::new(self.schema.clone())
            .with_batch_size(payloads.len())
            .with_coerce_primitive(true)
            .build_decoder()?;

        for (row, payload) in payloads.iter().enumerate() {
            let taken = decoder.decode(payload.as_bytes())?;
            if taken != payload.len() || decoder.has_partial_record() || decoder.len() != row + 1 {
                return Err(ArrowError::JsonError("not one JSON object".into()));
            }
        }
        decoder.flush()
    }
}

/// Whether the payload is exactly one JSON object.
fn check_object(payload: &str) -> Result<(), String> {
    match serde_json::from_str::<IgnoredAny>(payload) {
        Err(error) => Err(format!("not JSON: {error}: {}", quote(payload))),
        Ok(_) if !payload.trim_ascii_start().starts_with('{') => {
            Err(format!("a JSON object is expected, not {}", quote(payload)))
        }
        Ok(_) if depth(payload) > MAX_DEPTH => Err(format!("JSON nested deeper than {MAX_DEPTH} levels")),
        Ok(_) => Ok(()),
    }
}

/// How deep the objects and arrays of a valid JSON text are nested.
fn depth(json: &str) -> usize {
    let openers = json.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if openers <= MAX_DEPTH {
        return openers;
    }

    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn skip_string(bytes: &mut impl Iterator<Item = u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

/// Arrow's words on one line: `whilst decoding field 'temp': expected string got [1, 2]`.
fn fault(error: &ArrowError) -> String {
    let words = error.to_string().replace("Json error: ", "");
    let words =
        words.replace("whilst decoding field ", "column ").replace("expected string got", "no value but");
    let mut line: String = words.chars().take(120).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if words.chars().nth(120).is_some() {
        line.push('…');
    }
    line
}
