//! Which directory a sink is, and what its files hold.
//! It must not write them.

use std::path::PathBuf;

/// A directory that gets one file a partition, or several parts.
#[derive(Debug, Clone)]
pub struct FileSinkSpec {
    /// It is made where it is not there.
    pub dir: PathBuf,
    /// What is in the files.
    pub format: SinkFileFormat,
}

/// What is in the files of a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkFileFormat {
    /// A JSON object a line.
    Ndjson,
    /// Parquet, in parts.
    Parquet,
}
