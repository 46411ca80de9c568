//! Weights as a file of the user's: whole, or as it was before.
//! It must not know where they come from.

use std::path::Path;

use tickcast_connect::ledger::Staged;
use tickcast_stream::error::{Error, Kind, OrFail, Result};

/// Whether the file could be written, to know it before hours of work. Errors: `Io`.
pub fn can_be_written(path: &Path) -> Result<()> {
    let fail = || format!("cannot write {}", path.display());
    if path.is_dir() {
        return Err(Error::new(Kind::Io, fail()).because("it is a directory"));
    }
    Staged::write(path, &[]).map(drop).or_fail(Kind::Io, fail)
}

/// Puts the file in its place. Errors: `Io`.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    Staged::write(path, bytes)
        .and_then(Staged::publish)
        .or_fail(Kind::Io, || format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        write(&path, b"one").unwrap();
        can_be_written(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let refused = can_be_written(dir.path()).unwrap_err().to_string();
        assert!(refused.ends_with("it is a directory"), "{refused}");
        assert!(can_be_written(&dir.path().join("no/w")).is_err());
    }
}
