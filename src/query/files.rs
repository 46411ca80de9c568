//! The files of a sink's directory as tables: `forecasts-0.ndjson`, `forecasts-0-00000.parquet`.
//! It must not disturb the writer: it reads what is whole at the start of the query and leaves the rest.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::streaming::PartitionStream;

use super::batches::{self, Batches};
use super::json::JsonRows;
use crate::config::plan::SinkFileFormat;
use crate::error::{Kind, OrFail, Result};
use crate::message::Stream;

/// The files that a stream's sink wrote to `dir`; no file, or no directory yet, is a table without rows.
pub fn table(
    dir: &Path,
    format: SinkFileFormat,
    stream: Stream,
    schema: SchemaRef,
) -> Result<Arc<dyn TableProvider>> {
    let files = files(dir, format, stream)?;
    if files.is_empty() {
        return Ok(Arc::new(EmptyTable::new(schema)));
    }
    let fail = || format!("cannot read {} from {}", stream.name(), dir.display());
    match format {
        SinkFileFormat::Ndjson => {
            let open =
                |path| Arc::new(NdjsonFile { path, schema: schema.clone() }) as Arc<dyn PartitionStream>;
            let partitions = files.into_iter().map(open).collect();
            Ok(Arc::new(StreamingTable::try_new(schema, partitions).or_fail(Kind::Query, fail)?))
        }
        SinkFileFormat::Parquet => {
            let urls = files
                .iter()
                .map(|path| ListingTableUrl::parse(url(path)))
                .collect::<std::result::Result<_, _>>();
            let options =
                ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(".parquet");
            let config = ListingTableConfig::new_with_multi_paths(urls.or_fail(Kind::Query, fail)?)
                .with_listing_options(options)
                .with_schema(schema);
            Ok(Arc::new(ListingTable::try_new(config).or_fail(Kind::Query, fail)?))
        }
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

/// An absolute path as a `file:` URL: so that no `*`, `?`, `[` or `%` in a directory's name is taken for a pattern.
fn url(path: &Path) -> String {
    let mut url = String::from("file://");
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => url.push(char::from(byte)),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

/// One partition's NDJSON file.
#[derive(Debug)]
struct NdjsonFile {
    path: PathBuf,
    schema: SchemaRef,
}

impl PartitionStream for NdjsonFile {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (path, rows) = (self.path.clone(), JsonRows::new(self.schema.clone()));
        batches::stream(self.schema.clone(), move |batches| {
            read_lines(&path, rows, batches).map_err(|why| format!("{}: {why}", path.display()))
        })
    }
}

fn read_lines(path: &Path, mut rows: JsonRows, batches: &Batches) -> std::result::Result<(), String> {
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
        if !whole || !batches.wanted() {
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

    #[test]
    fn a_url_has_no_pattern_in_it() {
        assert_eq!(url(Path::new("/a b/[x]*%/é.parquet")), "file:///a%20b/%5Bx%5D%2A%25/%C3%A9.parquet");
    }
}
