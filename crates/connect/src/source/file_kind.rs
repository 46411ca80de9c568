//! A file or standard input as a pipeline's source.
//! It must not read records.

use std::path::Path;

use tickcast_stream::error::Result;

use super::file::FileSource;
use super::kafka_history::Span;
use super::kind::{OpenOptions, OpenSource, SourceKind, SourceSchema, SourceTraits};
use crate::spec::{FileFormat, FileSourceSpec, WireFormat};

/// The path that stands for standard input.
const STDIN: &str = "-";

impl FileSourceSpec {
    fn is_stdin(&self) -> bool {
        self.path == Path::new(STDIN)
    }
}

fn known_of(source: &FileSource) -> SourceSchema {
    SourceSchema { header: source.header(), fields: source.fields().map(<[_]>::to_vec) }
}

impl SourceKind for FileSourceSpec {
    fn traits(&self) -> SourceTraits {
        SourceTraits {
            is_bounded: true,
            is_shared: false,
            is_replayable: !self.is_stdin(),
            has_past: false,
            label: self.path.display().to_string(),
            // A folder may move with its state.
            identity: format!("file {}", self.path.file_name().unwrap_or_default().display()),
            format: Some(if self.format == FileFormat::Csv { WireFormat::Csv } else { WireFormat::Json }),
        }
    }

    /// Standard input must not be read before a run.
    fn known(&self) -> Result<SourceSchema> {
        if self.is_stdin() { Ok(SourceSchema::default()) } else { Ok(known_of(&FileSource::open(self)?)) }
    }

    fn partitions(&self) -> Result<i32> {
        Ok(1)
    }

    fn open(&self, options: OpenOptions) -> Result<OpenSource> {
        let mut source = FileSource::open(self)?;
        if let Some(records) = options.batch_records {
            source = source.with_batch_records(records);
        }
        let known = known_of(&source);
        Ok(OpenSource { known, ..OpenSource::of(source) })
    }

    fn open_history(&self, _: Span) -> Result<OpenSource> {
        self.open(OpenOptions::default())
    }
}
