//! The name of an instance in its group, kept where the next process finds it if this one is
//! killed.
//! It must not join the group.
//!
//! The group gives a named member its place back at once; one without a name waits until the group
//! has given its dead self up. A name is in a file that its process has locked. The kernel lets go
//! of a lock when its process ends, however it ends. So a name that can be locked is a dead
//! process's, and one that cannot is somebody else's. Who leaves the group in order takes the name
//! out of the file.
//!
//! Beside the name is the process's life, under which it writes: the next process ends what it has
//! left open.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, TryLockError};
use std::hash::BuildHasher;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::kafka::Life;

/// So many instances of a pipeline have names in one directory.
const SLOTS: usize = 1024;
const PREFIX: &str = "tickcast-";
/// Of a life, and of a name after its prefix, in hexadecimal.
const DIGITS: usize = 16;

/// A name that no other process with this directory has, until it is dropped.
#[derive(Debug)]
pub(super) struct InstanceName {
    file: File,
    name: String,
    life: Life,
}

impl InstanceName {
    /// Takes the name of an instance that was killed, or else a new one. Errors: the directory
    /// cannot be written, or its file system cannot lock.
    pub fn claim(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut free = None;
        for slot in 0..SLOTS {
            let path = dir.join(format!("instance-{slot}"));
            let is_first = !path.try_exists()?;
            if is_first && free.is_some() {
                break;
            }
            let Some(mut file) = lock(&path)? else { continue };
            if let Some((name, former)) = read(&mut file) {
                return Self::keep_in(file, name, Some(former));
            }
            free.get_or_insert(file);
        }

        let file = free.ok_or_else(|| io::Error::other("all names there are taken"))?;
        Self::keep_in(file, new_name(), None)
    }

    fn keep_in(file: File, name: String, former: Option<String>) -> io::Result<Self> {
        let taken = InstanceName { file, name, life: Life { id: random(), former } };
        taken.keep()?;
        Ok(taken)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The life of this process.
    pub fn life(&self) -> &Life {
        &self.life
    }

    /// Takes another name, which nobody has had. Errors: it is not kept; the next process of this
    /// instance takes a third one.
    pub fn renew(&mut self) -> io::Result<()> {
        self.name = new_name();
        self.keep()
    }

    /// The group knows the name no more: whoever takes this place next takes a new one.
    pub fn forget(&self) -> io::Result<()> {
        self.write("")
    }

    fn keep(&self) -> io::Result<()> {
        self.write(&format!("{} {}", self.name, self.life.id))
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())
    }
}

/// A file that is ours now; none, when another process has it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The name in a file, and the life of who had it. What is neither (a power cut may leave it) is
/// none.
fn read(file: &mut File) -> Option<(String, String)> {
    let mut text = String::new();
    file.take(1024).read_to_string(&mut text).ok()?;
    let (name, life) = text.split_once(' ')?;
    let is_whole =
        |digits: &str| digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_name = is_whole(name.strip_prefix(PREFIX)?) && is_whole(life);
    is_name.then(|| (name.to_owned(), life.to_owned()))
}

fn new_name() -> String {
    format!("{PREFIX}{}", random())
}

/// Digits that nobody else has: the keys of such a state are the operating system's random numbers.
fn random() -> String {
    format!("{:0DIGITS$x}", RandomState::new().hash_one(std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(dir: &Path) -> InstanceName {
        InstanceName::claim(dir).unwrap()
    }

    #[test]
    fn the_name_of_a_process_that_was_killed_is_taken_again() {
        let dir = tempfile::tempdir().unwrap();
        let killed = claim(dir.path());
        let (name, life) = (killed.name.clone(), killed.life.id.clone());
        drop(killed);
        let next = claim(dir.path());
        assert_eq!(next.as_str(), name);
        // What that one had left open can be ended, and is not this one's.
        assert!(next.life.former.as_ref() == Some(&life) && next.life.id != life, "{next:?}");
    }

    #[test]
    fn a_name_whose_lock_is_held_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let held = [claim(dir.path()), claim(dir.path()), claim(dir.path())];
        let mut names: Vec<&str> = held.iter().map(InstanceName::as_str).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 3, "{held:?}");
    }

    /// Another one was stopped in order: its place is free, but the group waits for the one that
    /// was killed.
    #[test]
    fn the_killed_ones_name_comes_before_a_free_place() {
        let dir = tempfile::tempdir().unwrap();
        let (stopped, killed) = (claim(dir.path()), claim(dir.path()));
        let name = killed.name.clone();
        stopped.forget().unwrap();
        drop((stopped, killed));
        assert_eq!(claim(dir.path()).as_str(), name);
    }

    #[test]
    fn who_left_in_order_comes_back_under_a_new_name() {
        let dir = tempfile::tempdir().unwrap();
        let left = claim(dir.path());
        left.forget().unwrap();
        let name = left.name.clone();
        drop(left);
        let next = claim(dir.path());
        assert!(next.name != name && next.life.former.is_none(), "{next:?} after {name}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_new_name_is_the_one_that_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut renewed = claim(dir.path());
        let first = renewed.name.clone();
        renewed.renew().unwrap();
        let second = renewed.name.clone();
        drop(renewed);
        assert_ne!(first, second);
        assert_eq!(claim(dir.path()).as_str(), second);
    }

    #[test]
    fn what_is_no_name_is_not_taken_for_one() {
        let dir = tempfile::tempdir().unwrap();
        for text in
            ["tickcast-", "tickcast-00000000000000zz 0123456789abcdef", "x", "tickcast-0123456789abcdef "]
        {
            fs::write(dir.path().join("instance-0"), text).unwrap();
            let new = claim(dir.path());
            assert!(new.name.len() == PREFIX.len() + DIGITS && !text.contains(&new.name), "{text}: {new:?}");
            assert_eq!(new.life.former, None);
        }
    }
}
