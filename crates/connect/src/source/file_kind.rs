//! A file as a kind of source: what it is, and how it is opened.
//! It must not read records.

use tickcast_stream::error::Result;

use super::file::FileSource;
use super::file_list::Listing;
use super::file_spec::{FileEnd, FileFormat, FileOrder, FileSourceSpec};
use super::kind::{OpenOptions, OpenSource, SourceKind, SourceSchema, SourceTraits, Span};
use super::time_order::InTimeOrder;
use crate::decode::WireFormat;

impl FileSourceSpec {
    /// Positions in another order are of another input.
    fn identity(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().display();
        match self.order {
            FileOrder::Arrival => format!("file {name}"),
            FileOrder::Time => format!("file {name} by time"),
        }
    }
}

impl SourceKind for FileSourceSpec {
    fn traits(&self) -> SourceTraits {
        SourceTraits {
            is_bounded: true,
            leaves_open: self.end == FileEnd::Keep,
            is_shared: false,
            is_replayable: !self.is_stdin(),
            has_past: false,
            has_timestamps: false,
            label: self.path.display().to_string(),
            // A folder may move with its state.
            identity: self.identity(),
            format: Listing::format(self).map(|format| match format {
                FileFormat::Csv => WireFormat::Csv,
                FileFormat::Avro => WireFormat::Avro,
                _ => WireFormat::Json,
            }),
        }
    }

    /// Standard input must not be read before a run.
    fn known(&self) -> Result<SourceSchema> {
        if self.is_stdin() { Ok(SourceSchema::default()) } else { Ok(FileSource::open(self)?.known()) }
    }

    fn partitions(&self) -> Result<i32> {
        Ok(1)
    }

    fn open(&self, options: OpenOptions) -> Result<OpenSource> {
        let mut source = FileSource::open(self)?;
        if let Some(records) = options.batch_records {
            source = source.with_batch_records(records);
        }
        let source = source.with_quiet_after(options.quiet_after);
        let known = source.known();
        let open = match self.order {
            FileOrder::Arrival => OpenSource::of(source),
            FileOrder::Time => OpenSource::of(InTimeOrder::new(source, options.batch_records)),
        };
        Ok(OpenSource { known, ..open })
    }

    fn open_history(&self, _: Span) -> Result<OpenSource> {
        self.open(OpenOptions::default())
    }
}
