//! Keys of results: the name of a series, in the format of the topic's keys.
//! It must not know values.

use std::borrow::Cow;

use serde_json::json;

use super::json_schema::JSON_SCHEMA;
use super::payloads::Frame;
use super::spec::KeyFormat;
use crate::registry::SchemaKind;

/// The tag of field 1 of a Protobuf message, of the type with a length.
const FIELD_1: u8 = 1 << 3 | 2;

/// Writes keys of one format.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyWriter {
    pub format: KeyFormat,
    pub frame: Frame,
}

impl KeyWriter {
    /// The key of a series.
    pub fn key_of<'a>(&self, series: &'a str) -> Cow<'a, [u8]> {
        let mut bytes = Vec::new();
        match self.format {
            KeyFormat::Text => return Cow::Borrowed(series.as_bytes()),
            KeyFormat::Json => {
                self.frame.start(&mut bytes);
                bytes.extend(json!(series).to_string().into_bytes());
            }
            KeyFormat::Avro => {
                self.frame.start(&mut bytes);
                // Avro's lengths are signed: the sign is the lowest bit.
                prost::encoding::encode_varint(2 * series.len() as u64, &mut bytes);
                bytes.extend_from_slice(series.as_bytes());
            }
            KeyFormat::Protobuf => {
                self.frame.start_message(&mut bytes);
                // An empty text is a field that is left out.
                if !series.is_empty() {
                    bytes.push(FIELD_1);
                    prost::encoding::encode_varint(series.len() as u64, &mut bytes);
                    bytes.extend_from_slice(series.as_bytes());
                }
            }
        }
        Cow::Owned(bytes)
    }
}

/// The schema of keys of a format; text has none.
pub(super) fn key_schema(format: KeyFormat) -> Option<(SchemaKind, String)> {
    match format {
        KeyFormat::Text => None,
        KeyFormat::Json => {
            let text = json!({ "$schema": JSON_SCHEMA, "title": "tickcast.Key", "type": "string" });
            Some((SchemaKind::Json, text.to_string()))
        }
        KeyFormat::Avro => Some((SchemaKind::Avro, json!("string").to_string())),
        KeyFormat::Protobuf => {
            let text = "syntax = \"proto3\";\n\npackage tickcast;\n\n// The key of a result.\nmessage Key {\n  \
                        // The series.\n  string series = 1;\n}\n";
            Some((SchemaKind::Protobuf, text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(format: KeyFormat, frame: Frame, series: &str) -> Vec<u8> {
        KeyWriter { format, frame }.key_of(series).into_owned()
    }

    #[test]
    fn a_name_is_a_key_in_every_format() {
        let (bare, framed) = (Frame(None), Frame(Some(258)));
        assert_eq!(key(KeyFormat::Text, bare, "JFK"), b"JFK");
        assert_eq!(key(KeyFormat::Json, bare, "a\"b\n"), br#""a\"b\n""#);
        assert_eq!(key(KeyFormat::Json, framed, "a"), b"\0\0\0\x01\x02\"a\"");
        assert_eq!(key(KeyFormat::Avro, bare, "JFK"), b"\x06JFK");
        assert_eq!(key(KeyFormat::Avro, framed, ""), b"\0\0\0\x01\x02\0");
        assert_eq!(key(KeyFormat::Avro, bare, &"x".repeat(64))[..2], [0x80, 0x01]);
        assert_eq!(key(KeyFormat::Protobuf, bare, "JFK"), b"\x0a\x03JFK");
        assert_eq!(key(KeyFormat::Protobuf, framed, "é"), b"\0\0\0\x01\x02\0\x0a\x02\xc3\xa9");
    }
}
