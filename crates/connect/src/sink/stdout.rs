//! The standard output as a sink: JSON lines.
//! It must not write anything else there: logs and progress go to stderr.

use std::io::{BufWriter, Stdout, Write, stdout};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::record::json_lines;
use tickcast_stream::runtime::RetryPolicy;
use tickcast_stream::sink::{Begin, Sink};
use tickcast_stream::table::Table;
use tickcast_stream::{PartitionId, Stream};

use super::kind::{Home, SinkKind};

/// Standard output has no settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct StdoutSpec;

impl SinkKind for StdoutSpec {
    fn home(&self) -> Option<Home<'_>> {
        None
    }

    fn table(&self, _: Stream, _: SchemaRef) -> Result<Table> {
        Ok(Table::Absent("go to stdout"))
    }

    fn open(&self, _: Stream, _: &SchemaRef, _: &RetryPolicy) -> Result<Box<dyn Sink>> {
        Ok(Box::new(StdoutSink::new()))
    }
}

struct StdoutSink {
    out: BufWriter<Stdout>,
}

impl StdoutSink {
    fn new() -> Self {
        StdoutSink { out: BufWriter::new(stdout()) }
    }
}

impl Sink for StdoutSink {
    fn begin(&mut self, _: PartitionId, _: Begin) -> Result<()> {
        Ok(())
    }

    fn write(&mut self, _: PartitionId, rows: &RecordBatch) -> Result<()> {
        let bytes = json_lines(rows)?;
        self.out.write_all(&bytes).or_fail(Kind::Sink, || "cannot write to standard output")
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush().or_fail(Kind::Sink, || "cannot write to standard output")
    }

    fn sync(&mut self) -> Result<()> {
        self.flush()
    }
}
