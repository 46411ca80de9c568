//! A file that is whole or not there: written beside its name, synced, then renamed.
//! It must not know what is in it.

use std::fs::{self, File};
use std::io::{Result, Write};
use std::path::{Path, PathBuf};

/// A whole file that is not yet under its name; dropped so, it is gone.
pub struct Staged {
    beside: PathBuf,
    path: PathBuf,
    /// Open from the beginning: once the file is written, no want of descriptors can stop it.
    dir: File,
    published: bool,
}

impl Staged {
    /// Writes `bytes` beside `path`, to the disk.
    pub fn write(path: &Path, bytes: &[u8]) -> Result<Staged> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".tmp");
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = File::open(dir)?;
        let staged = Staged { beside: beside.into(), path: path.to_owned(), dir, published: false };
        let mut file = File::create(&staged.beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(staged)
    }

    /// Puts the file in place of what is under its name.
    pub fn publish(mut self) -> Result<()> {
        fs::rename(&self.beside, &self.path)?;
        self.published = true;
        // The rename itself must survive a power cut before anything relies on it.
        self.dir.sync_all()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_file(&self.beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_published_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.bin");
        drop(Staged::write(&path, b"one").unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        Staged::write(&path, b"two").unwrap().publish().unwrap();
        drop(Staged::write(&path, b"three").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
