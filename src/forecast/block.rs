//! Numbers in a state as one block of bytes, little-endian: one by one, hundreds of millions of them take seconds.
//! It must not know what the numbers mean. For `#[serde(with = "block")]`.

use std::collections::VecDeque;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// What a block is of.
pub trait Number: Copy {
    type Bytes: AsRef<[u8]> + for<'a> TryFrom<&'a [u8]>;
    fn bytes(self) -> Self::Bytes;
    fn of(bytes: Self::Bytes) -> Self;
}

impl Number for f64 {
    type Bytes = [u8; 8];
    fn bytes(self) -> [u8; 8] {
        self.to_le_bytes()
    }
    fn of(bytes: [u8; 8]) -> Self {
        f64::from_le_bytes(bytes)
    }
}

impl Number for f32 {
    type Bytes = [u8; 4];
    fn bytes(self) -> [u8; 4] {
        self.to_le_bytes()
    }
    fn of(bytes: [u8; 4]) -> Self {
        f32::from_le_bytes(bytes)
    }
}

pub fn serialize<N: Number, S: Serializer>(values: &VecDeque<N>, serializer: S) -> Result<S::Ok, S::Error> {
    let size = size_of::<N>();
    let mut bytes = vec![0; values.len() * size];
    bytes
        .chunks_exact_mut(size)
        .zip(values)
        .for_each(|(to, value)| to.copy_from_slice(value.bytes().as_ref()));
    serializer.serialize_bytes(&bytes)
}

pub fn deserialize<'de, N: Number, D: Deserializer<'de>>(deserializer: D) -> Result<VecDeque<N>, D::Error> {
    let bytes = <&[u8]>::deserialize(deserializer)?;
    let numbers = bytes.chunks(size_of::<N>()).map(|bytes| N::Bytes::try_from(bytes).ok().map(N::of));
    numbers.collect::<Option<_>>().ok_or_else(|| D::Error::custom("a part of a number"))
}
