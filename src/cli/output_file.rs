//! Files that the user names for a verb's output: whole, or as they were before.
//! It must not know what is in them.
//!
//! A file is written beside itself and renamed, with the mode and the owner of the one it replaces;
//! of a link that is its target. What is no file of its own, like a FIFO, a device or
//! `/dev/stdout`, is never replaced but written as it is.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use tickcast_stream::error::{Kind, OrFail, Result};

/// As many links as Linux itself follows.
const LINKS_MAX: usize = 40;

/// Whether the file could be written, to know it before hours of work. Errors: `Io`.
pub fn can_be_written(path: &Path) -> Result<()> {
    let found = place(path).and_then(|place| match place {
        Place::File { target, .. } => beside(&target).map(drop),
        // To open a FIFO is to wait for its reader.
        Place::Other(_) => Ok(()),
    });
    found.or_fail(Kind::Io, || format!("cannot write {}", path.display()))
}

/// Puts the bytes in their place. Errors: `Io`.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = place(path).and_then(|place| match place {
        Place::File { target, before } => replace(&target, before.as_ref(), bytes),
        Place::Other(target) => append(&target, bytes),
    });
    written.or_fail(Kind::Io, || format!("cannot write {}", path.display()))
}

/// Where the bytes of a path go.
enum Place {
    /// A file, there or not.
    File { target: PathBuf, before: Option<Metadata> },
    /// Something else that takes bytes.
    Other(PathBuf),
}

fn place(path: &Path) -> io::Result<Place> {
    let target = linked(path)?;
    match fs::metadata(&target) {
        Ok(found) if found.is_dir() => Err(io::Error::new(ErrorKind::IsADirectory, "it is a directory")),
        Ok(found) if found.is_file() && !is_descriptor(&target) => {
            Ok(Place::File { target, before: Some(found) })
        }
        Ok(_) => Ok(Place::Other(target)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Place::File { target, before: None }),
        Err(error) => Err(error),
    }
}

/// What links lead to, whether it is there or not.
fn linked(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            Ok(to) if !is_descriptor(&path) => path = directory(&path).join(to),
            _ => return Ok(path),
        }
    }
    Err(io::Error::other("it is a link to a link without end"))
}

/// Whether it names what a process has open, not a file.
fn is_descriptor(path: &Path) -> bool {
    path.starts_with("/proc") || path.starts_with("/dev/fd")
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(target: &Path) -> io::Result<NamedTempFile> {
    // Less what the user's mask takes away, as any new file.
    tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(directory(target))
}

fn replace(target: &Path, before: Option<&Metadata>, bytes: &[u8]) -> io::Result<()> {
    let mut file = beside(target)?;
    if let Some(before) = before
        && !takes_after(file.as_file(), before)
    {
        return overwrite(target, bytes);
    }

    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(target).map_err(|failed| failed.error)?;
    File::open(directory(target))?.sync_all()
}

/// Gives a file the owner and the mode of another one. False, where the file cannot stand for the
/// other: this user may not give it away, or it has more names.
fn takes_after(file: &File, before: &Metadata) -> bool {
    let is_same = |file: &Metadata| (file.uid(), file.gid()) == (before.uid(), before.gid());
    let is_owned = file.metadata().is_ok_and(|file| is_same(&file))
        || fchown(file, Some(before.uid()), Some(before.gid())).is_ok();
    before.nlink() == 1 && is_owned && file.set_permissions(before.permissions()).is_ok()
}

fn overwrite(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(target)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A pipe that nobody reads any more is no failure.
fn append(target: &Path, bytes: &[u8]) -> io::Result<()> {
    match OpenOptions::new().append(true).open(target)?.write_all(bytes) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_file_is_whole_or_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        write(&path, b"one").unwrap();
        can_be_written(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let refused = can_be_written(dir.path()).unwrap_err().to_string();
        assert!(refused.ends_with("it is a directory"), "{refused}");
        assert!(can_be_written(&dir.path().join("no/w")).is_err());
    }

    /// F6: a link was replaced by a file, and its target kept the old bytes. Found by hostile testing.
    #[test]
    fn a_link_stays_and_its_target_is_written_though_it_is_not_there_yet() {
        let dir = tempfile::tempdir().unwrap();
        let (far, link) = (dir.path().join("far"), dir.path().join("link"));
        fs::create_dir(&far).unwrap();
        symlink("middle", &link).unwrap();
        symlink("far/w", dir.path().join("middle")).unwrap();
        for bytes in [b"one", b"two"] {
            can_be_written(&link).unwrap();
            write(&link, bytes).unwrap();
            assert_eq!(fs::read(far.join("w")).unwrap(), bytes);
        }
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(&far).unwrap().count(), 1);
        symlink("endless", dir.path().join("endless")).unwrap();
        assert!(write(&dir.path().join("endless"), b"").is_err());
    }

    /// F6: `--file /dev/null` as root put a file in place of the device. Found by hostile testing.
    #[test]
    fn what_is_no_file_is_written_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, null) = (dir.path().join("pipe"), dir.path().join("null"));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        symlink("/dev/null", &null).unwrap();
        can_be_written(&pipe).unwrap();
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        write(&pipe, b"bytes").unwrap();
        assert_eq!(reader.join().unwrap(), b"bytes");
        write(&null, b"bytes").unwrap();
        // A device of ours, where this user may make one.
        let device = dir.path().join("device");
        if Command::new("mknod").arg(&device).args(["c", "1", "3"]).status().unwrap().success() {
            write(&device, b"bytes").unwrap();
            assert!(!fs::metadata(&device).unwrap().is_file());
        }
        assert!(!fs::metadata(&pipe).unwrap().is_file());
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    /// F6: a file of mode 0600 became one that all may read. Found by hostile testing.
    #[test]
    fn a_file_that_is_replaced_keeps_its_mode_its_owner_and_its_other_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w");
        write(&path, b"one").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        // Only root may give a file away; for others it stays its owner's in any case.
        let _ = std::os::unix::fs::chown(&path, Some(12345), Some(54321));
        let before = fs::metadata(&path).unwrap();
        write(&path, b"two").unwrap();
        let after = fs::metadata(&path).unwrap();
        let of = |file: &Metadata| (file.mode(), file.uid(), file.gid());
        assert_eq!((of(&after), fs::read(&path).unwrap()), (of(&before), b"two".to_vec()));
        fs::hard_link(&path, dir.path().join("other")).unwrap();
        write(&path, b"three").unwrap();
        assert_eq!(fs::read(dir.path().join("other")).unwrap(), b"three");
    }
}
