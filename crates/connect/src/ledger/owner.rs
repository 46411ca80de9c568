//! Whose a directory is: a small hidden file in it names the pipeline, and where its state is.
//! It must not know what else is in the directory.
//!
//! The file is written beside its name and linked to it: of two pipelines that begin at the same
//! time one makes it, and nobody sees half of it. Its name begins with a dot and has no data
//! format's ending, so no query takes it for data.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tickcast_stream::error::{Error, Kind, OrFail, Result};

use crate::whole_file::read_whole_text;

const FILE: &str = ".tickcast-owner";
/// Far more than the longest owner.
const BYTES_MAX: u64 = 1 << 16;

/// Who writes into a directory. Instances of one pipeline are one owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The pipeline's name.
    pub pipeline: String,
    /// Where its state is; none: nowhere. A directory is named as it is seen from this one, so that
    /// both can be moved or mounted elsewhere together.
    pub state: Option<String>,
}

impl Owner {
    /// Errors: `State`, when the directory is somebody else's. One of nobody is nobody's still.
    pub fn check(&self, dir: &Path) -> Result<()> {
        match read(dir)? {
            Some(found) if !self.is_same(&found) => Err(self.refused(dir, &found)),
            _ => Ok(()),
        }
    }

    /// A pipeline that had no state may have got one since.
    fn is_same(&self, other: &Owner) -> bool {
        let is_elsewhere = self.state.is_some() && other.state.is_some() && self.state != other.state;
        self.pipeline == other.pipeline && !is_elsewhere
    }

    /// Takes a directory of nobody, as one that an older release has written to. Errors: as
    /// [`Owner::check`].
    pub fn take(&self, dir: &Path) -> Result<()> {
        if read(dir)?.is_none() {
            let path = dir.join(FILE);
            let text = serde_json::to_string(self).or_fail(Kind::State, || "cannot name an owner")?;
            match put(&path, &format!("{text}\n")) {
                Ok(()) => return Ok(()),
                // Somebody was quicker.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).or_fail(Kind::State, || format!("cannot write {}", path.display()));
                }
            }
        }
        self.check(dir)
    }

    fn refused(&self, dir: &Path, found: &Owner) -> Error {
        let of = |Owner { pipeline, state }: &Owner| match state {
            Some(state) => format!("pipeline {pipeline} with its state in {state}"),
            None => format!("pipeline {pipeline} without a state"),
        };
        let what = format!(
            "the directory {} belongs to {}; this is {}. Two pipelines in one directory would destroy each other's \
             files: name another directory or, if the other pipeline is gone, remove {}",
            dir.display(),
            of(found),
            of(self),
            dir.join(FILE).display()
        );
        Error::new(Kind::State, what)
    }
}

fn read(dir: &Path) -> Result<Option<Owner>> {
    let path = dir.join(FILE);
    let fail = || format!("cannot read {}, which says whose the directory is", path.display());
    match read_whole_text(&path, BYTES_MAX) {
        Ok(text) => serde_json::from_str(&text).map(Some).or_fail(Kind::State, fail),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).or_fail(Kind::State, fail),
    }
}

/// Makes a file that is not there yet, whole. Errors: `AlreadyExists`, when it is there.
fn put(path: &Path, text: &str) -> std::io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
    let beside = PathBuf::from(format!("{}.{:x}-{now:x}", path.display(), std::process::id()));
    let written = new_file(&beside, text);
    let linked = written.and_then(|()| match fs::hard_link(&beside, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            // Some file systems have no links.
            new_file(path, text)
        }
        linked => linked,
    });
    let _ = fs::remove_file(&beside);
    linked?;
    // Nobody else may find it to be nobody's, once anything is in it.
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn new_file(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The way from one directory to another; both must be there. Errors: `State`.
pub fn seen_from(dir: &Path, other: &Path) -> Result<String> {
    let real =
        |path: &Path| path.canonicalize().or_fail(Kind::State, || format!("cannot read {}", path.display()));
    let (dir, other) = (real(dir)?, real(other)?);
    let common = dir.components().zip(other.components()).take_while(|(a, b)| a == b).count();

    let up = dir.components().skip(common).map(|_| Path::new(".."));
    let down = other.components().skip(common).map(|part| Path::new(part.as_os_str()).to_owned());
    let way: PathBuf = up.map(Path::to_owned).chain(down).collect();
    let way = way.to_string_lossy();
    Ok(if way.is_empty() { ".".to_owned() } else { way.into_owned() })
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn owner(pipeline: &str, state: &str) -> Owner {
        Owner { pipeline: pipeline.to_owned(), state: Some(state.to_owned()) }
    }

    #[test]
    fn a_directory_of_nobody_is_taken_and_anothers_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let ours = owner("weather", "../state");
        ours.check(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        (0..2).for_each(|_| ours.take(dir.path()).unwrap());
        let names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [FILE]);
        for other in [owner("prices", "../state"), owner("weather", "../other")] {
            let said = other.take(dir.path()).unwrap_err().to_string();
            assert!(said.contains("belongs to pipeline weather with its state in ../state"), "{said}");
            assert!(said.contains(FILE) && said.contains(&format!("this is pipeline {}", other.pipeline)));
        }
        Owner { state: None, ..ours.clone() }.take(dir.path()).unwrap();
        fs::remove_file(dir.path().join(FILE)).unwrap();
        owner("prices", "topic prices.state").take(dir.path()).unwrap();
        assert!(ours.check(dir.path()).is_err());
        fs::write(dir.path().join(FILE), "").unwrap();
        let said = ours.take(dir.path()).unwrap_err().to_string();
        assert!(said.contains("says whose the directory is"), "{said}");
    }

    #[test]
    fn of_many_that_begin_at_once_one_has_the_directory() {
        for _ in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let start = Barrier::new(8);
            let took = &|n: usize| {
                start.wait();
                owner(&format!("pipeline-{n}"), ".").take(dir.path()).is_ok()
            };
            let winners = thread::scope(|scope| {
                let all: Vec<_> = (0..8).map(|n| scope.spawn(move || took(n))).collect();
                all.into_iter().map(|one| one.join().unwrap()).filter(|took| *took).count()
            });
            assert_eq!(winners, 1);
        }
    }

    #[test]
    fn a_state_is_named_by_the_way_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(&path).unwrap();
            path
        };
        assert_eq!(seen_from(&at("out/a"), &at("state")).unwrap(), "../../state");
        assert_eq!(seen_from(&at("x"), &at("x/state")).unwrap(), "state");
        assert_eq!(seen_from(&at("x"), &at("x")).unwrap(), ".");
    }
}
