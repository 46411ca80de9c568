//! Whole Parquet files as a table.
//! It must not choose the files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use tickcast_stream::error::{Kind, OrFail, Result};

/// The rows of all files, in the order of the files. Errors: `Query`, when a path is none.
pub fn table(files: &[PathBuf], schema: SchemaRef) -> Result<Arc<dyn TableProvider>> {
    if files.is_empty() {
        return Ok(Arc::new(EmptyTable::new(schema)));
    }

    let fail = || "cannot read the Parquet files";
    let urls = files.iter().map(|path| ListingTableUrl::parse(url(path)));
    let urls = urls.collect::<std::result::Result<_, _>>().or_fail(Kind::Query, fail)?;
    let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(".parquet");
    let config =
        ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options).with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config).or_fail(Kind::Query, fail)?))
}

/// An absolute path as a `file:` URL: so that no `*`, `?`, `[` or `%` in a directory's name is
/// taken for a pattern.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_no_pattern_in_it() {
        assert_eq!(url(Path::new("/a b/[x]*%/é.parquet")), "file:///a%20b/%5Bx%5D%2A%25/%C3%A9.parquet");
    }
}
