//! What is asked of a file's records, and what follows those that it brings.
//! It must not read a file.

use std::sync::Arc;

use tickcast_stream::error::{Error, Kind};
use tickcast_stream::{Offset, SourceFile};

/// A batch ends early when its records have so many bytes together.
pub(super) const BATCH_BYTES: usize = 16 << 20;

/// What follows the records of a batch.
pub(super) enum Next {
    More,
    End,
    Failure(Error),
}

/// Of which records a batch is.
pub(super) struct Batch<'a> {
    /// The position of its first.
    pub(super) first: Offset,
    /// So many, at most.
    pub(super) records: usize,
    /// The file, where there are several.
    pub(super) file: Option<&'a Arc<SourceFile>>,
}

impl Batch<'_> {
    /// Where in its file a record stands.
    pub(super) fn place_of(&self, record: Offset) -> Offset {
        Offset(record.since(self.file.map_or(Offset(0), |file| file.first)))
    }
}

/// Why records from one on cannot be read; it is named by its place in the file.
pub(super) fn unreadable(
    name: &str,
    record: Offset,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::new(Kind::Source, format!("cannot read {name} at record {record}")).because(cause)
}
