//! What directories hold, read back for an audit.
//! It must not change anything, nor keep anybody from it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::ledger::{Audit, Checkpoint, KeptRecords, Snapshot};
use tickcast_stream::message::Stream;
use tickcast_stream::record::json_lines;
use tickcast_stream::{Offset, PartitionId};

use super::digest::digest;
use super::dir::SnapshotDir;
use super::manifest::read_manifest;
use crate::sink::{CommittedLen, SinkFileFormat};

/// Directories that a pipeline writes to.
pub struct FilesAudit {
    /// The states, and the manifests that say what is committed.
    pub state: SnapshotDir,
    /// Every stream that is written, its directory and format.
    pub outputs: Vec<(Stream, PathBuf, SinkFileFormat)>,
}

impl FilesAudit {
    fn ndjson(path: &PathBuf, bytes: u64) -> Result<Vec<(i64, u64)>> {
        let fail = || format!("cannot read {}", path.display());
        let file = File::open(path).or_fail(Kind::Sink, fail)?;
        let lines = BufReader::new(file.take(bytes)).lines();
        let digests =
            lines.enumerate().map(|(at, line)| Ok((at as i64 + 1, digest(line.or_fail(Kind::Sink, fail)?))));
        digests.collect()
    }

    fn parquet(&self, path: &PathBuf, kept: &mut Vec<(i64, u64)>, stream: Stream) -> Result<()> {
        let fail = || format!("cannot read {}", path.display());
        let file = File::open(path).or_fail(Kind::Sink, fail)?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build());
        for rows in reader.or_fail(Kind::Sink, fail)? {
            for (digest, _) in self.digests(stream, &rows.or_fail(Kind::Sink, fail)?)? {
                kept.push((kept.len() as i64 + 1, digest));
            }
        }
        Ok(())
    }
}

impl Audit for FilesAudit {
    fn entry(&self, partition: PartitionId) -> Result<Option<Checkpoint>> {
        Ok(read_manifest(self.state.dir(), partition)?.and_then(|manifest| manifest.entry))
    }

    fn snapshots(&self, partition: PartitionId, entry: &Checkpoint) -> Result<Vec<Offset>> {
        entry.snapshot.map_or(Ok(Vec::new()), |named| self.state.positions(partition, named.position))
    }

    fn snapshot(&self, partition: PartitionId, _: &Checkpoint, at: Offset) -> Result<Option<Snapshot>> {
        self.state.load_at(partition, at).map(Some)
    }

    fn kept(&self, partition: PartitionId, stream: Stream) -> Result<KeptRecords> {
        Ok(KeptRecords { records: self.records(partition, stream)?, is_cut: false })
    }

    fn digests(&self, _: Stream, rows: &RecordBatch) -> Result<Vec<(u64, String)>> {
        let text = String::from_utf8(json_lines(rows)?).or_fail(Kind::Sink, || "JSON is not UTF-8")?;
        Ok(text.lines().map(|line| (digest(line), line.to_owned())).collect())
    }
}

impl FilesAudit {
    fn records(&self, partition: PartitionId, stream: Stream) -> Result<Vec<(i64, u64)>> {
        let Some((_, dir, _)) = self.outputs.iter().find(|(of, ..)| *of == stream) else {
            return Ok(Vec::new());
        };

        let manifest = read_manifest(self.state.dir(), partition)?;
        match manifest.and_then(|manifest| manifest.outputs.get(stream.name()).copied()) {
            None => Ok(Vec::new()),
            Some(CommittedLen::Bytes(bytes)) => {
                FilesAudit::ndjson(&dir.join(format!("{}-{partition}.ndjson", stream.name())), bytes)
            }
            Some(CommittedLen::Parts(count)) => {
                let mut kept = Vec::new();
                for number in 0..count {
                    let path = dir.join(format!("{}-{partition}-{number:05}.parquet", stream.name()));
                    fs::metadata(&path).or_fail(Kind::Sink, || format!("cannot read {}", path.display()))?;
                    self.parquet(&path, &mut kept, stream)?;
                }
                Ok(kept)
            }
        }
    }
}
