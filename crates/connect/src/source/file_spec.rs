//! What is asked for of a file that is read.
//! It must not read one.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::decode::CsvSpec;

/// The path that stands for standard input.
pub(super) const STDIN: &str = "-";

/// A file that is read, several of them, or standard input.
#[derive(Debug, Clone)]
pub struct FileSourceSpec {
    /// `-` is standard input. A directory stands for its files, and so does a pattern: they are
    /// read one after the other.
    pub path: PathBuf,
    /// What is in it.
    pub format: FileFormat,
    /// How it is written, if it is CSV.
    pub csv: CsvSpec,
    /// What its end means.
    pub end: FileEnd,
    /// In which order its records are taken.
    pub order: FileOrder,
}

/// In which order the records of a file are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileOrder {
    /// As they stand there.
    #[default]
    Arrival,
    /// By their times, those of one time as they stand there. The file is sorted before its first
    /// record is taken, with temporary files where it is large; it must not grow.
    Time,
}

/// What the end of a file means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileEnd {
    /// Nothing more comes: the windows that are open close.
    Close,
    /// The file may grow until it is read again: they stay open, and a last line without a newline
    /// is not read yet.
    Keep,
}

/// What is in a file that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// Rows of fields.
    Csv,
    /// A JSON object a line.
    Ndjson,
    /// Parquet.
    Parquet,
    /// An Avro object container file.
    Avro,
    /// What the names of the files say that a path stands for.
    ByName,
}

impl FileFormat {
    /// What a file's name says, below `.gz` or `.zst`; none: nothing that is known.
    pub fn of_name(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let bare = lower.strip_suffix(".gz").or(lower.strip_suffix(".zst")).unwrap_or(&lower);
        match bare.rsplit_once('.').map(|(_, extension)| extension) {
            Some("csv" | "tsv" | "psv") => Some(FileFormat::Csv),
            Some("ndjson" | "jsonl" | "json") => Some(FileFormat::Ndjson),
            Some("parquet") => Some(FileFormat::Parquet),
            Some("avro") => Some(FileFormat::Avro),
            _ => None,
        }
    }
}

impl FileSourceSpec {
    /// Whether it is standard input.
    pub(super) fn is_stdin(&self) -> bool {
        self.path == Path::new(STDIN)
    }
}
