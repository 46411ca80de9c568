//! Which log a partition is: a topic that is deleted and made anew, or a file that is replaced,
//! keeps its name, not its id.
//! It must not know how a source is asked for it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKind {
    /// A partition of a topic.
    Topic,
    /// A file.
    File,
    /// A file whose records are taken in another order than they stand there.
    SortedFile,
    /// A journal.
    Journal,
    /// Several files, read one after the other.
    Files,
}

/// The id of a topic, or of a file. It prints as Kafka's own tools print a topic's: base64 without
/// padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u128);

impl LogId {
    /// The id that prints as `text`; none: nothing does.
    pub fn parse(text: &str) -> Option<LogId> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(|bytes| LogId(u128::from_be_bytes(bytes)))
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0.to_be_bytes()))
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for LogId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LogId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        LogId::parse(&text).ok_or_else(|| D::Error::custom(format!("{text} is no id of a topic")))
    }
}

/// A log is another one than it was, under the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChanged {
    /// What it is.
    pub kind: LogKind,
    /// Its name; of several files, what is other than it was.
    pub name: String,
    /// The id that was known of it.
    pub was: LogId,
    /// The id that it has now.
    pub is: LogId,
}

impl fmt::Display for LogChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LogChanged { kind, name, was, is } = self;
        match kind {
            LogKind::Topic => {
                write!(f, "topic {name} was deleted and made anew: its id was {was}, and it is {is} now.")
            }
            LogKind::SortedFile => {
                write!(
                    f,
                    "file {name} is another than it was: with `order: time` a file must not grow, for what is added \
                     would stand among what was read."
                )
            }
            LogKind::Journal => {
                write!(f, "journal {name} was removed and made anew: its id was {was}, and it is {is} now.")
            }
            LogKind::Files => write!(f, "{name}."),
            LogKind::File => {
                write!(f, "file {name} was replaced: it begins with other bytes than it did, or is shorter.")
            }
        }
    }
}

impl std::error::Error for LogChanged {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_printed() {
        let id = LogId(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210);
        assert_eq!(id.to_string(), "ASNFZ4mrze_-3LqYdlQyEA");
        assert_eq!(LogId::parse(&id.to_string()), Some(id));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<LogId>(&json).unwrap(), id);
        for text in ["", "ASNFZ4mrze_", "ASNFZ4mrze_-3LqYdlQyE!", "ASNFZ4mrze_-3LqYdlQyEAAA"] {
            assert_eq!(LogId::parse(text), None, "{text}");
        }
    }
}
