//! The standard output as a sink: JSON lines.
//! It must not write anything else there: logs and progress go to stderr.

use std::io::{BufWriter, Stdout, Write, stdout};

use arrow::record_batch::RecordBatch;

use super::{Sink, encode};
use crate::error::{Kind, OrFail, Result};

pub struct StdoutSink {
    out: BufWriter<Stdout>,
}

impl StdoutSink {
    pub fn new() -> Self {
        StdoutSink { out: BufWriter::new(stdout()) }
    }
}

impl Sink for StdoutSink {
    fn begin(&mut self, _: i32, _: bool) -> Result<()> {
        Ok(())
    }

    fn write(&mut self, _: i32, rows: &RecordBatch) -> Result<()> {
        let bytes = encode::json_lines(rows)?;
        self.out.write_all(&bytes).or_fail(Kind::Sink, || "cannot write to standard output")
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush().or_fail(Kind::Sink, || "cannot write to standard output")
    }

    fn sync(&mut self) -> Result<()> {
        self.flush()
    }
}
