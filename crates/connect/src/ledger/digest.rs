//! A record as a number, to compare what was written with what is made again.
//! It must not leave this process: the number of another build may differ.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The digest of a record's parts.
pub(super) fn digest(parts: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}
