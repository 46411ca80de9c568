//! How records are written and what becomes rows of them, as the file says it.
//! It must not know defaults, nor which sources there are.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use super::super::scalar::Whole;

/// How CSV is written. What is not said is found in the first rows of a file, and logged where it
/// is not the usual.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawCsv {
    /// The character between fields, as `";"` or `"\t"`. Without it, of a comma, a semicolon, a tab
    /// and `|` it is the one that the first rows agree about; in a topic a comma.
    pub delimiter: Option<String>,
    /// The character around fields that hold a delimiter or a line end; within them it is doubled.
    /// `""`: none. Without it, it is the double quote.
    pub quote: Option<String>,
    /// The character between whole and fraction of a number. Without it, it is a comma where
    /// numbers of the first rows can be nothing else, as `0,5`, and else a point.
    pub decimal: Option<String>,
    /// The character between groups of three digits. Without it there is none, or a point where
    /// numbers like `1.234,5` stand in the first rows.
    pub thousands: Option<String>,
    /// Where the names of the columns are: true in the first row; false nowhere: they are
    /// `column_1`, `column_2` and so on; or the names. Without it they are in the first row, unless
    /// that is one of numbers alone, which is refused; in a topic they are the schema's.
    pub header: Option<RawHeader>,
    /// Lines of a file before its header, or before its first record if it has none. Default: 0.
    pub skip: Option<Whole<0, 1_000_000>>,
    /// Lines of a file that begin with this character are passed over.
    pub comment: Option<String>,
    /// How the characters of a file are written: `latin1`, `windows-1252`, `utf-16le` and others by
    /// their names of the WHATWG. Without it, UTF-8, or UTF-16 where the file begins with its mark.
    pub encoding: Option<String>,
}

/// Whether there is a header, or the names that it would have.
pub(in super::super) enum RawHeader {
    Is(bool),
    Names(Vec<String>),
}

// Not serde's `untagged`: that would lose the place and the words of a fault inside.
impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = RawHeader;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("true, false or a list of names")
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<RawHeader, E> {
        Ok(RawHeader::Is(is))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, names: A) -> Result<RawHeader, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(names)).map(RawHeader::Names)
    }
}

impl JsonSchema for RawHeader {
    fn schema_name() -> Cow<'static, str> {
        "RawHeader".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [{ "type": "boolean" }, { "type": "array", "items": { "type": "string" } }]
        })
    }
}

/// Columns that become rows: `t1` and `t2` of a record become two rows, with `t1` and `t2` in the
/// column `name` and their values in the column `value`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawMelt {
    /// The columns that become rows.
    #[schemars(required)]
    pub columns: Option<Vec<String>>,
    /// The column that says which of them a row is of. Default: name.
    pub name: Option<String>,
    /// The column that has its value; where that is null there is no row. Default: value.
    pub value: Option<String>,
}
