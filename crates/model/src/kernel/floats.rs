//! A vector of f32 that begins at a cache line, so that no load of sixteen lanes touches two lines.
//! It must not know what the numbers mean.

use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes in a cache line, and in a vector of sixteen f32.
const LINE: usize = 64;
const SLACK: usize = LINE / size_of::<f32>();

/// A fixed number of f32, aligned to 64 bytes.
pub struct Floats {
    /// Longer than needed by a line: the numbers begin at its first multiple of 64 bytes.
    store: Vec<f32>,
    skip: usize,
    len: usize,
}

impl Floats {
    pub fn zeros(len: usize) -> Floats {
        let store = vec![0.0; len + SLACK];
        // An allocator gives f32 at multiples of four bytes, so this is at most 15; what it may not tell is none.
        let skip = store.as_ptr().align_offset(LINE).min(SLACK);
        Floats { store, skip, len }
    }

    pub fn from_slice(values: &[f32]) -> Floats {
        let mut floats = Floats::zeros(values.len());
        floats.copy_from_slice(values);
        floats
    }

    /// Makes it `len` long if it is shorter: what it holds is lost then.
    pub fn reserve(&mut self, len: usize) {
        if self.len < len {
            *self = Floats::zeros(len);
        }
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.store[self.skip..self.skip + self.len]
    }
}

impl DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.store[self.skip..self.skip + self.len]
    }
}

impl Default for Floats {
    fn default() -> Floats {
        Floats::zeros(0)
    }
}

impl Clone for Floats {
    fn clone(&self) -> Floats {
        // A copy lies elsewhere, so it begins elsewhere.
        Floats::from_slice(self)
    }

    fn clone_from(&mut self, source: &Floats) {
        if self.len == source.len {
            self.copy_from_slice(source);
        } else {
            *self = source.clone();
        }
    }
}

impl PartialEq for Floats {
    fn eq(&self, other: &Floats) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Floats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.deref().fmt(f)
    }
}

impl Serialize for Floats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.deref().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Floats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Floats, D::Error> {
        Ok(Floats::from_slice(&Vec::<f32>::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_copy_begins_at_a_cache_line() {
        let mut floats = Floats::from_slice(&[1.0, 2.0, 3.0]);
        let copies: Vec<Floats> = (0..20).map(|_| floats.clone()).collect();
        assert!(copies.iter().all(|copy| copy.as_ptr().align_offset(LINE) == 0 && *copy == floats));
        let bytes = postcard::to_stdvec(&floats).unwrap();
        assert_eq!(postcard::from_bytes::<Floats>(&bytes).unwrap(), floats);
        floats.reserve(2);
        assert_eq!(*floats, [1.0, 2.0, 3.0]);
        floats.reserve(4);
        assert_eq!(*floats, [0.0; 4]);
    }
}
