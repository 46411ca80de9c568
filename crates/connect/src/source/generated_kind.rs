//! The generator as a pipeline's source.
//! It must not make ticks.

use tickcast_stream::error::Result;

use super::generated::GeneratedSource;
use super::kafka_history::Span;
use super::kind::{OpenOptions, OpenSource, SourceKind, SourceTraits};
use crate::spec::{GeneratorSpec, WireFormat};

impl SourceKind for GeneratorSpec {
    fn traits(&self) -> SourceTraits {
        let GeneratorSpec { process, series, seed, partitions, .. } = self;
        SourceTraits {
            is_bounded: true,
            is_shared: false,
            is_replayable: true,
            has_past: false,
            label: "generate".to_owned(),
            identity: format!("{process:?} series {series} seed {seed} partitions {partitions}"),
            format: Some(WireFormat::Json),
        }
    }

    fn partitions(&self) -> Result<i32> {
        Ok(self.partitions)
    }

    fn open(&self, options: OpenOptions) -> Result<OpenSource> {
        let source = GeneratedSource::new(self);
        Ok(OpenSource::of(match options.batch_records {
            Some(records) => source.with_batch_records(records),
            None => source,
        }))
    }

    /// The past need not be waited for.
    fn open_history(&self, _: Span) -> Result<OpenSource> {
        GeneratorSpec { rate: None, ..self.clone() }.open(OpenOptions::default())
    }
}
