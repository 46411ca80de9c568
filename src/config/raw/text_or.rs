//! A value that is written as a text, or as a block of keys.
//! It must not know which key it belongs to.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// A text, or a block.
pub(in super::super) enum TextOr<T, B> {
    Text(T),
    Block(B),
}

// Not serde's `untagged`: that would lose the place and the words of a fault inside.
impl<'de, T: Deserialize<'de>, B: Deserialize<'de>> Deserialize<'de> for TextOr<T, B> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrVisitor(PhantomData))
    }
}

struct TextOrVisitor<T, B>(PhantomData<(T, B)>);

impl<'de, T: Deserialize<'de>, B: Deserialize<'de>> Visitor<'de> for TextOrVisitor<T, B> {
    type Value = TextOr<T, B>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        T::deserialize(StrDeserializer::new(text)).map(TextOr::Text)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        B::deserialize(MapAccessDeserializer::new(map)).map(TextOr::Block)
    }
}

impl<T: JsonSchema, B: JsonSchema> JsonSchema for TextOr<T, B> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}_or_{}", T::schema_name(), B::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (text, block) = (generator.subschema_for::<T>(), generator.subschema_for::<B>());
        schemars::json_schema!({ "anyOf": [text, block] })
    }
}
