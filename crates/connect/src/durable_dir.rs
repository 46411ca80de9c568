//! A directory whose name survives a power cut.
//! It must not know what is in it.

use std::fs::{self, File};
use std::io::{ErrorKind, Result};
use std::path::Path;

/// Makes a directory, and those that it is in, so that what is made durable in it is not lost with
/// its name.
pub(crate) fn make_dir(dir: &Path) -> Result<()> {
    let is_missing = |at: &&Path| !at.as_os_str().is_empty() && !at.is_dir();
    let missing: Vec<&Path> = dir.ancestors().take_while(is_missing).collect();

    // A run may have been killed that had made this one, and had not come to sync its name.
    let there = missing.last().map_or(Some(dir), |outermost| outermost.parent());
    match there.map_or(Ok(()), sync_name) {
        Err(error) if !is_no_matter(error.kind()) => return Err(error),
        _ => {}
    }

    for path in missing.into_iter().rev() {
        match fs::create_dir(path) {
            Err(error) if !path.is_dir() => return Err(error),
            // Somebody may have been quicker.
            _ => sync_name(path)?,
        }
    }
    Ok(())
}

/// Why the name of a directory that was there before cannot be synced: it is somebody else's, or
/// nothing can be written there.
fn is_no_matter(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::InvalidInput)
}

fn sync_name(path: &Path) -> Result<()> {
    match path.parent() {
        Some(dir) if dir.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_with_all_above_it_and_a_file_in_its_place_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c");
        (0..2).for_each(|_| make_dir(&path).unwrap());
        assert!(path.is_dir());
        make_dir(Path::new("/")).unwrap();
        make_dir(Path::new("src")).unwrap();
        fs::write(path.join("file"), b"").unwrap();
        assert_eq!(make_dir(&path.join("file")).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert!(make_dir(&path.join("file/d")).is_err());
    }
}
