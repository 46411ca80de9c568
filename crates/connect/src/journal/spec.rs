//! What a journal is as a source, and how it is opened.
//! It must not read it.

use std::path::PathBuf;
use std::time::Duration;

use tickcast_stream::error::Result;

use super::repair::find_end;
use super::source::{JournalSource, ReadTo};
use super::tail::Tail;
use crate::source::{OpenOptions, OpenSource, SourceKind, SourceTraits, Span};

/// A journal that is written and read.
#[derive(Debug, Clone)]
pub struct JournalSpec {
    /// Its directory.
    pub dir: PathBuf,
    /// How long records are kept that no state needs any more.
    pub keep: Duration,
    /// A segment that has so many bytes is followed by another one.
    pub segment_bytes: u64,
    /// Where it ends durably, once this process writes it.
    pub tail: Tail,
}

impl JournalSpec {
    /// A segment's size, where nobody says another.
    pub const SEGMENT_BYTES: u64 = 64 << 20;
}

impl SourceKind for JournalSpec {
    fn traits(&self) -> SourceTraits {
        // A folder may move with its state, and what comes out stays the same.
        let name = self.dir.file_name().unwrap_or_default().display();
        SourceTraits {
            is_bounded: false,
            leaves_open: false,
            is_shared: false,
            is_replayable: true,
            has_past: false,
            has_timestamps: true,
            label: name.to_string(),
            identity: format!("journal {name}"),
            format: None,
        }
    }

    fn partitions(&self) -> Result<i32> {
        Ok(1)
    }

    fn open(&self, options: OpenOptions) -> Result<OpenSource> {
        Ok(OpenSource::of(JournalSource::new(&self.dir, ReadTo::Tail(self.tail.clone()), options)))
    }

    /// Up to its present end. Times are not asked for: a span is of a topic.
    fn open_history(&self, _: Span) -> Result<OpenSource> {
        let end = if self.dir.is_dir() { find_end(&self.dir)? } else { None };
        let end = ReadTo::Fixed(end.map(|found| found.end));
        Ok(OpenSource::of(JournalSource::new(&self.dir, end, OpenOptions::default())))
    }
}
