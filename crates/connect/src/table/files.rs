//! The files of a sink's directory as tables: `forecasts-0.ndjson`, `forecasts-0-00000.parquet`.
//! It must not disturb the writer: it reads what is whole at the start of the query and leaves the
//! rest.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::message::Stream;
use tickcast_stream::record::JsonRows;
use tickcast_stream::table::{Rows, Table, TableScan};

use crate::sink::{FileSinkSpec, SinkFileFormat};

/// The files that a stream's sink wrote; no file, or no directory yet, is a table without rows.
pub fn file_table(sink: &FileSinkSpec, stream: Stream, schema: SchemaRef) -> Result<Table> {
    let files = files(&sink.dir, sink.format, stream)?;
    Ok(match sink.format {
        SinkFileFormat::Parquet => Table::Parquet(files),
        SinkFileFormat::Ndjson => Table::Scan(Arc::new(NdjsonFiles { files, schema })),
    })
}

/// A part is a file.
#[derive(Debug)]
struct NdjsonFiles {
    files: Vec<PathBuf>,
    schema: SchemaRef,
}

impl TableScan for NdjsonFiles {
    fn parts(&self) -> std::result::Result<Vec<i32>, String> {
        Ok((0..self.files.len() as i32).collect())
    }

    fn read(&self, part: i32, rows: &mut dyn Rows) -> std::result::Result<(), String> {
        let Some(path) = self.files.get(part as usize) else { return Ok(()) };
        read_lines(path, JsonRows::new(self.schema.clone()), rows)
            .map_err(|why| format!("{}: {why}", path.display()))
    }
}

/// A stream's files by partition and part.
fn files(dir: &Path, format: SinkFileFormat, stream: Stream) -> Result<Vec<PathBuf>> {
    let fail = || format!("cannot read the directory {}", dir.display());
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(cause).or_fail(Kind::Query, fail),
    };

    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.or_fail(Kind::Query, fail)?;
        if let Some(order) = entry.file_name().to_str().and_then(|name| order(name, format, stream)) {
            let path = std::path::absolute(entry.path()).or_fail(Kind::Query, fail)?;
            found.push((order, path));
        }
    }

    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The partition and part in a file's name; none for any other file.
fn order(name: &str, format: SinkFileFormat, stream: Stream) -> Option<(u32, u32)> {
    let rest = name.strip_prefix(stream.name())?.strip_prefix('-')?;
    match format {
        SinkFileFormat::Ndjson => Some((rest.strip_suffix(".ndjson")?.parse().ok()?, 0)),
        SinkFileFormat::Parquet => {
            let (partition, part) = rest.strip_suffix(".parquet")?.split_once('-')?;
            Some((partition.parse().ok()?, part.parse().ok()?))
        }
    }
}

fn read_lines(path: &Path, mut rows: JsonRows, batches: &mut dyn Rows) -> std::result::Result<(), String> {
    let file = File::open(path).map_err(|cause| cause.to_string())?;
    // A running pipeline appends: what comes after now is not for this query.
    let length = file.metadata().map_err(|cause| cause.to_string())?.len();

    let mut reader = BufReader::with_capacity(1 << 16, file.take(length));
    let mut line = Vec::new();

    for number in 1.. {
        line.clear();
        reader.read_until(b'\n', &mut line).map_err(|cause| cause.to_string())?;
        // Without its newline a line is not whole yet, and it is the last one.

        let whole = line.ends_with(b"\n");
        if whole {
            rows.push(number, &line);
        }
        if (rows.is_full() || !whole) && !rows.is_empty() {
            batches.send(rows.take().map_err(|bad| format!("line {}: {}", bad.position, bad.why))?);
        }
        if !whole || !batches.is_wanted() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let ndjson = |name| order(name, SinkFileFormat::Ndjson, Stream::Forecasts);
        assert_eq!(ndjson("forecasts-12.ndjson"), Some((12, 0)));
        for name in
            ["scores-12.ndjson", "forecasts-12-00001.parquet", "forecasts-12.ndjson.tmp", "forecasts-.ndjson"]
        {
            assert_eq!(ndjson(name), None, "{name}");
        }
        let parquet = |name| order(name, SinkFileFormat::Parquet, Stream::Scores);
        assert_eq!(parquet("scores-3-00010.parquet"), Some((3, 10)));
        for name in
            ["scores-3-00010.parquet.tmp", "scores-3.parquet", "scores-3.ndjson", "scores-x-1.parquet"]
        {
            assert_eq!(parquet(name), None, "{name}");
        }
    }
}
