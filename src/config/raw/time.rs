//! The `time` block as it is written.
//! It must not know defaults, nor which formats and zones there are.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use tickcast_connect::{Ambiguous, TimeCount};

/// A column, or a block.
pub(in super::super) enum RawTime {
    Column(String),
    Block(RawTimeBlock),
}

/// A record's event time: where it stands and how it is written.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawTimeBlock {
    /// The column that holds it.
    #[schemars(required)]
    pub column: Option<String>,
    /// What a number counts, since 1970-01-01T00:00:00. With it a number may be any time of the
    /// years 1 to 9999; days may have a fraction. Without it, it counts what the schema says;
    /// without one, s, ms, us or ns, whichever puts it into the years 1990 to 2100, unless it could
    /// be a date.
    pub unit: Option<TimeCount>,
    /// How it is written, as strftime has it, such as `%d.%m.%Y %H:%M`; `%Y` or `%Y-%m` alone is
    /// the first day. Without it, each form is read that means one instant only.
    pub format: Option<String>,
    /// Time zone of times that name none, such as Europe/Berlin. Without it, they are UTC.
    pub zone: Option<String>,
    /// Which instant is meant in the hour that comes twice when a zone's clocks are put back. A
    /// time that does not come when they are put forward is always rejected. Default: reject.
    pub ambiguous: Option<Ambiguous>,
}

// Not serde's `untagged`: that would lose the place and the words of a fault inside.
impl<'de> Deserialize<'de> for RawTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimeVisitor)
    }
}

struct TimeVisitor;

impl<'de> Visitor<'de> for TimeVisitor {
    type Value = RawTime;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E>(self, column: &str) -> Result<RawTime, E> {
        Ok(RawTime::Column(column.to_string()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawTime, A::Error> {
        RawTimeBlock::deserialize(MapAccessDeserializer::new(map)).map(RawTime::Block)
    }
}

impl JsonSchema for RawTime {
    fn schema_name() -> Cow<'static, str> {
        "RawTime".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let block = generator.subschema_for::<RawTimeBlock>();
        schemars::json_schema!({ "anyOf": [{ "type": "string" }, block] })
    }
}
