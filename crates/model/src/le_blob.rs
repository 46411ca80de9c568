//! AlignedFloats in a state as one blob of bytes, little-endian. For `#[serde(with = "le_blob")]`
//! on a `Vec`, a `VecDeque` or a boxed slice of `f32`, `f64`, or `u16` (bits of halves).
//! It must not know what the numbers mean.
//!
//! One by one, hundreds of millions of numbers take seconds. As a blob they are copied at the
//! memory's speed.
//!
//! ```
//! use std::collections::VecDeque;
//!
//! use serde::{Deserialize, Serialize};
//! use tickcast_model::le_blob;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Saved {
//!     #[serde(with = "le_blob")]
//!     weights: Vec<f32>,
//!     #[serde(with = "le_blob")]
//!     newest: VecDeque<f64>,
//! }
//!
//! let saved = Saved { weights: vec![0.5, -1.0], newest: VecDeque::from([3.0]) };
//! let bytes = postcard::to_stdvec(&saved)?;
//! // A length in front of each blob, 4 bytes a single and 8 bytes a double.
//! assert_eq!(bytes.len(), (1 + 8) + (1 + 8));
//!
//! let again: Saved = postcard::from_bytes(&bytes)?;
//! assert_eq!((again.weights, again.newest), (saved.weights, saved.newest));
//! # Ok::<(), postcard::Error>(())
//! ```

use std::collections::VecDeque;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

mod sealed {
    /// Keeps others from implementing the adapter for their own numbers.
    pub trait Sealed {}

    impl Sealed for u16 {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A float that a blob can be of: `f32` or `f64`, or the bits of a half.
pub trait LeFloat: bytemuck::Pod + sealed::Sealed {
    /// The same number with its bytes in little-endian order, and back.
    fn swapped_unless_little(self) -> Self;
}

impl LeFloat for u16 {
    fn swapped_unless_little(self) -> u16 {
        self.to_le()
    }
}

impl LeFloat for f32 {
    fn swapped_unless_little(self) -> f32 {
        f32::from_bits(self.to_bits().to_le())
    }
}

impl LeFloat for f64 {
    fn swapped_unless_little(self) -> f64 {
        f64::from_bits(self.to_bits().to_le())
    }
}

/// A collection whose floats are written as one blob, in their order.
pub trait LeBlob: FromIterator<Self::Float> {
    /// What it is a collection of.
    type Float: LeFloat;

    /// All its numbers in order: those of the first slice, then those of the second.
    fn float_slices(&self) -> (&[Self::Float], &[Self::Float]);
}

impl<F: LeFloat> LeBlob for Vec<F> {
    type Float = F;

    fn float_slices(&self) -> (&[F], &[F]) {
        (self, &[])
    }
}

impl<F: LeFloat> LeBlob for Box<[F]> {
    type Float = F;

    fn float_slices(&self) -> (&[F], &[F]) {
        (self, &[])
    }
}

impl<F: LeFloat> LeBlob for VecDeque<F> {
    type Float = F;

    fn float_slices(&self) -> (&[F], &[F]) {
        self.as_slices()
    }
}

/// Writes the bytes of all `values`, little-endian, in their order.
///
/// # Errors
/// The serializer's.
pub fn serialize<B: LeBlob, S: Serializer>(values: &B, serializer: S) -> Result<S::Ok, S::Error> {
    let (first, second) = values.float_slices();

    // The bytes as they lie in memory, without a copy.
    if cfg!(target_endian = "little") && second.is_empty() {
        return serializer.serialize_bytes(bytemuck::cast_slice(first));
    }

    let ordered = first.iter().chain(second).map(|value| value.swapped_unless_little());
    let ordered: Vec<B::Float> = ordered.collect();
    serializer.serialize_bytes(bytemuck::cast_slice(&ordered))
}

/// Reads what `serialize` wrote.
///
/// # Errors
/// If there are no bytes, or not those of whole numbers.
pub fn deserialize<'de, B: LeBlob, D: Deserializer<'de>>(deserializer: D) -> Result<B, D::Error> {
    let bytes = <&[u8]>::deserialize(deserializer)?;
    let numbers = bytes.chunks_exact(size_of::<B::Float>());
    if !numbers.remainder().is_empty() {
        return Err(D::Error::custom("a part of a number"));
    }

    Ok(numbers.map(|bytes| bytemuck::pod_read_unaligned::<B::Float>(bytes).swapped_unless_little()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Blob<B: LeBlob>(#[serde(with = "super")] B);

    fn bytes<B: LeBlob>(values: B) -> Vec<u8> {
        postcard::to_stdvec(&Blob(values)).unwrap()
    }

    #[test]
    fn a_blob_is_its_length_and_little_endian_numbers() {
        assert_eq!(bytes(vec![1.0f32, -2.0]), [8, 0, 0, 128, 63, 0, 0, 0, 192]);
        assert_eq!(bytes(vec![1.0f64]), [8, 0, 0, 0, 0, 0, 0, 240, 63]);
        assert_eq!(bytes(Vec::<f64>::new()), [0]);
    }

    #[test]
    fn a_queue_that_wraps_around_is_written_in_its_order() {
        let mut queue: VecDeque<f64> = (0..4).map(f64::from).collect();
        for next in 4..7 {
            queue.pop_front();
            queue.push_back(f64::from(next));
        }
        assert_eq!(bytes(queue.clone()), bytes(Vec::from(queue.clone())));
        assert_eq!(postcard::from_bytes::<Blob<VecDeque<f64>>>(&bytes(queue.clone())).unwrap(), Blob(queue));
    }

    #[test]
    fn bits_survive_and_a_part_of_a_number_is_refused() {
        let odd = vec![f32::NAN, -0.0, f32::MIN_POSITIVE / 2.0, f32::INFINITY];
        let again = postcard::from_bytes::<Blob<Vec<f32>>>(&bytes(odd.clone())).unwrap();
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
        assert_eq!(bits(&again.0), bits(&odd));
        assert!(postcard::from_bytes::<Blob<Vec<f64>>>(&bytes(vec![1.0f32; 3])).is_err());
    }
}
