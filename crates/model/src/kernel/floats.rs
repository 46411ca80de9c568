//! A vector of f32 that begins at a cache line, so that no load of sixteen lanes touches two lines.
//! It must not know what the numbers mean.

use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes in a cache line, and in a vector of sixteen f32.
const LINE: usize = 64;
const SLACK: usize = LINE / size_of::<f32>();

/// A fixed number of f32, aligned to 64 bytes.
pub struct AlignedFloats {
    /// Longer than needed by a line: the numbers begin at its first multiple of 64 bytes.
    store: Vec<f32>,
    skip: usize,
    len: usize,
}

impl AlignedFloats {
    /// `len` zeros.
    pub fn zeros(len: usize) -> AlignedFloats {
        let store = vec![0.0; len + SLACK];
        // An allocator gives f32 at multiples of four bytes, so this is at most 15. `align_offset`
        // may also give no answer, which is `usize::MAX`; `min` bounds it then.
        let skip = store.as_ptr().align_offset(LINE).min(SLACK);
        AlignedFloats { store, skip, len }
    }

    /// A copy of `values`.
    pub fn from_slice(values: &[f32]) -> AlignedFloats {
        let mut floats = AlignedFloats::zeros(values.len());
        floats.copy_from_slice(values);
        floats
    }

    /// Makes it `len` long if it is shorter. What it held is lost then.
    pub fn reserve(&mut self, len: usize) {
        if self.len < len {
            *self = AlignedFloats::zeros(len);
        }
    }
}

impl Deref for AlignedFloats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.store[self.skip..self.skip + self.len]
    }
}

impl DerefMut for AlignedFloats {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.store[self.skip..self.skip + self.len]
    }
}

impl Default for AlignedFloats {
    fn default() -> AlignedFloats {
        AlignedFloats::zeros(0)
    }
}

impl Clone for AlignedFloats {
    fn clone(&self) -> AlignedFloats {
        // A copy lies elsewhere, so other elements have to be skipped.
        AlignedFloats::from_slice(self)
    }

    fn clone_from(&mut self, source: &AlignedFloats) {
        if self.len == source.len {
            self.copy_from_slice(source);
        } else {
            *self = source.clone();
        }
    }
}

impl PartialEq for AlignedFloats {
    fn eq(&self, other: &AlignedFloats) -> bool {
        **self == **other
    }
}

impl fmt::Debug for AlignedFloats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.deref().fmt(f)
    }
}

impl Serialize for AlignedFloats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.deref().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AlignedFloats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AlignedFloats, D::Error> {
        Ok(AlignedFloats::from_slice(&Vec::<f32>::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_copy_begins_at_a_cache_line() {
        let mut floats = AlignedFloats::from_slice(&[1.0, 2.0, 3.0]);
        let copies: Vec<AlignedFloats> = (0..20).map(|_| floats.clone()).collect();
        assert!(copies.iter().all(|copy| copy.as_ptr().align_offset(LINE) == 0 && *copy == floats));
        let bytes = postcard::to_stdvec(&floats).unwrap();
        assert_eq!(postcard::from_bytes::<AlignedFloats>(&bytes).unwrap(), floats);
        floats.reserve(2);
        assert_eq!(*floats, [1.0, 2.0, 3.0]);
        floats.reserve(4);
        assert_eq!(*floats, [0.0; 4]);
    }
}
