//! Numbers in a state as one block of bytes, little-endian: one by one, hundreds of millions of them take seconds.
//! It must not know what the numbers mean. For `#[serde(with = "block")]`.

use std::collections::VecDeque;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

const BYTES: usize = size_of::<f64>();

pub fn serialize<S: Serializer>(values: &VecDeque<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut bytes = vec![0; values.len() * BYTES];
    bytes.as_chunks_mut().0.iter_mut().zip(values).for_each(|(bytes, value)| *bytes = value.to_le_bytes());
    serializer.serialize_bytes(&bytes)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<VecDeque<f64>, D::Error> {
    let (values, rest) = <&[u8]>::deserialize(deserializer)?.as_chunks::<BYTES>();
    if !rest.is_empty() {
        return Err(D::Error::custom("a part of a number"));
    }
    Ok(values.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
}
