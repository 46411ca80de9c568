//! How files of a sink are taken back to a length or a number of parts, so that it survives a power
//! cut.
//! It must not know what is committed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// Why an output was not taken back.
pub(super) enum NotRewound {
    /// It could not be.
    Failed(std::io::Error),
    /// There is something else than the commit names: `are 3 bytes`.
    Other(String),
}

impl From<std::io::Error> for NotRewound {
    fn from(error: std::io::Error) -> Self {
        NotRewound::Failed(error)
    }
}

/// Takes an NDJSON file back to a length.
pub(super) fn shorten(file: &mut File, bytes: u64) -> std::result::Result<(), NotRewound> {
    let length = file.metadata()?.len();
    if length < bytes {
        return Err(NotRewound::Other(format!("are {length} bytes")));
    }
    if length > bytes {
        file.set_len(bytes)?;
        // What was cut off must not be back after a power cut, where nothing more is written.
        file.sync_data()?;
    }
    file.seek(SeekFrom::End(0))?;
    Ok(())
}

/// Takes Parquet parts back to their first ones.
pub(super) fn remove_parts(
    parts: &BTreeMap<u32, PathBuf>,
    count: u32,
    dir: &File,
) -> std::result::Result<(), NotRewound> {
    if (0..count).any(|number| !parts.contains_key(&number)) {
        return Err(NotRewound::Other(format!("are {} parts", parts.len())));
    }
    if parts.range(count..).next().is_some() {
        parts.range(count..).try_for_each(|(_, path)| fs::remove_file(path))?;
        dir.sync_all()?;
    }
    Ok(())
}

/// The length of a file up to its last newline.
pub(super) fn whole_lines(file: &mut File) -> std::io::Result<u64> {
    const BLOCK: u64 = 64 * 1024;
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut block = Vec::new();
    while end > 0 {
        let from = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(from))?;
        block.clear();
        Read::take(&mut *file, end - from).read_to_end(&mut block)?;

        if let Some(at) = block.iter().rposition(|&byte| byte == b'\n') {
            return Ok(from + at as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}
