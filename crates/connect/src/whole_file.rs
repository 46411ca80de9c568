//! A small file, read whole: only of a file, and only up to a bound.
//! It must not know what is in it.

use std::fs::{self, File, Metadata};
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// The bytes of a file. Errors: also when it is a directory, a FIFO or a device, and when it has
/// more than `bytes_max`, whatever length it says it has. No error names the path.
pub fn read_whole(path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    // Before it is opened: to open a FIFO is to wait for its writer.
    is_file(&fs::metadata(path)?)?;
    let file = File::open(path)?;
    // Another one may have taken its place.
    is_file(&file.metadata()?)?;

    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let what = format!("it is too large, more than {bytes_max} bytes");
        return Err(Error::new(ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

/// The same as text. Errors: also when it is not UTF-8.
pub fn read_whole_text(path: &Path, bytes_max: u64) -> Result<String> {
    let text = String::from_utf8(read_whole(path, bytes_max)?);
    text.map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

fn is_file(found: &Metadata) -> Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let what = if found.is_dir() { "it is a directory" } else { "it is not a file but a FIFO or a device" };
    Err(Error::new(ErrorKind::InvalidInput, what))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// F19: a device was read until the memory was full, and a FIFO for ever. Found by hostile testing.
    #[test]
    fn only_files_are_read_and_only_to_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let (file, pipe) = (dir.path().join("file"), dir.path().join("pipe"));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        fs::write(&file, b"12345").unwrap();
        assert_eq!(read_whole_text(&file, 5).unwrap(), "12345");
        fs::write(&file, b"\xff").unwrap();
        let refused = |path: &Path, bytes_max| read_whole_text(path, bytes_max).unwrap_err().to_string();
        assert_eq!(refused(&file, 0), "it is too large, more than 0 bytes");
        assert_eq!(refused(&file, 1), "it is not UTF-8 text");
        assert_eq!(refused(dir.path(), 9), "it is a directory");
        assert_eq!(refused(&pipe, 9), "it is not a file but a FIFO or a device");
        assert_eq!(refused(Path::new("/dev/zero"), 9), "it is not a file but a FIFO or a device");
        assert!(
            read_whole(&dir.path().join("none"), 9).is_err_and(|error| error.kind() == ErrorKind::NotFound)
        );
    }
}
