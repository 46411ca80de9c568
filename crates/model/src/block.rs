//! Numbers in a state as one block of bytes, little-endian: one by one, hundreds of millions of them take seconds.
//! It must not know what the numbers mean. For `#[serde(with = "block")]`.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

pub fn serialize<S: Serializer>(values: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
    if cfg!(target_endian = "little") {
        return serializer.serialize_bytes(bytemuck::cast_slice(values));
    }
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    serializer.serialize_bytes(&bytes)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    let (values, rest) = <&[u8]>::deserialize(deserializer)?.as_chunks();
    if !rest.is_empty() {
        return Err(D::Error::custom("a part of a number"));
    }
    Ok(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}
