//! `window.gaps` as it is written: a word, or one a column.
//! It must not know which columns there are.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor, value::MapAccessDeserializer, value::StrDeserializer};
use tickcast_sql::Fill;

/// A word, or one a column.
pub(in super::super) enum RawGaps {
    Word(RawGapsWord),
    Columns(BTreeMap<String, Fill>),
}

/// What all columns of a silent series' row have.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum RawGapsWord {
    /// What is made of sums and counts alone is what these are of no record, 0 mostly, and that is
    /// true: it is scored and learned. Everything else is repeated.
    Auto,
    /// The last values are repeated.
    Carry,
    /// There is no row.
    Skip,
    /// Numbers are 0, and that is true.
    Zero,
}

// Not serde's `untagged`: that would lose the place and the words of a fault inside.
impl<'de> Deserialize<'de> for RawGaps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GapsVisitor)
    }
}

struct GapsVisitor;

impl<'de> Visitor<'de> for GapsVisitor {
    type Value = RawGaps;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<RawGaps, E> {
        RawGapsWord::deserialize(StrDeserializer::new(word)).map(RawGaps::Word)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawGaps, A::Error> {
        BTreeMap::deserialize(MapAccessDeserializer::new(map)).map(RawGaps::Columns)
    }
}

impl JsonSchema for RawGaps {
    fn schema_name() -> Cow<'static, str> {
        "RawGaps".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let word = generator.subschema_for::<RawGapsWord>();
        let fill = generator.subschema_for::<Fill>();
        schemars::json_schema!({ "anyOf": [word, { "type": "object", "additionalProperties": fill }] })
    }
}
