//! What is done to the files below a directory, in order, and the faults that calls meet. It must
//! not say what a power cut leaves of it.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::path::{Path, PathBuf};

use libc::{EDQUOT, EIO, ENOSPC};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::Counts;
use super::cut::Image;

/// A file, whatever its names are.
pub type FileId = usize;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    Dir,
    File(FileId),
}

/// One thing that was done. Paths are seen from the recorded directory.
#[derive(Debug, Clone)]
pub enum Op {
    Name {
        path: PathBuf,
        entry: Entry,
    },
    Remove {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
        entry: Entry,
    },
    Write {
        file: FileId,
        at: u64,
        bytes: Vec<u8>,
    },
    Resize {
        file: FileId,
        len: u64,
    },
    /// `fails`: what it should have made durable is gone, all but a part that the seed decides.
    SyncFile {
        file: FileId,
        fails: Option<u64>,
    },
    SyncDir {
        path: PathBuf,
        fails: Option<u64>,
    },
}

/// Which calls fail, and how often they did.
#[derive(Debug)]
pub struct Faults {
    rng: Pcg64Mcg,
    /// In thousandths: of the syncs, and of the writes and the renames.
    sync: u32,
    room: u32,
    /// The sync, counted from now, that fails with this, and not by chance.
    planned: Option<(u32, c_int)>,
    pub counts: Counts,
}

impl Faults {
    pub fn new(seed: u64, sync: u32, room: u32) -> Self {
        Faults { rng: Pcg64Mcg::seed_from_u64(seed), sync, room, planned: None, counts: Counts::new() }
    }

    pub fn none() -> Self {
        Faults::new(0, 0, 0)
    }

    /// One sync fails, after `after` that do not.
    pub fn one_sync(after: u32, errno: c_int) -> Self {
        Faults { planned: Some((after, errno)), ..Faults::none() }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    fn falls(&mut self, odds: u32) -> bool {
        odds > 0 && self.rng.random_range(0..1000) < odds
    }

    fn plan(&mut self) -> Option<c_int> {
        let (after, errno) = self.planned.take()?;
        if after == 0 {
            return Some(errno);
        }
        self.planned = Some((after - 1, errno));
        None
    }

    /// What a sync fails with, and what decides how much it had written before.
    fn of_sync(&mut self, is_dir: bool) -> Option<(c_int, u64)> {
        let by_chance = self.falls(self.sync);
        let any = [EIO, ENOSPC, EDQUOT][self.rng.random_range(0..3)];
        let errno = self.plan().or(by_chance.then_some(any))?;
        self.count(match errno {
            EIO => "syncs that failed with EIO",
            ENOSPC => "syncs that failed with ENOSPC",
            _ => "syncs that failed with EDQUOT",
        });
        self.count(if is_dir { "directory syncs that failed" } else { "file syncs that failed" });
        Some((errno, self.rng.random()))
    }

    fn of_room(&mut self, what: &'static str) -> Option<c_int> {
        if !self.falls(self.room) {
            return None;
        }
        self.count(what);
        Some(ENOSPC)
    }
}

enum Node {
    File(FileId),
    Dir(PathBuf),
}

pub struct Recorder {
    root: PathBuf,
    names: BTreeMap<PathBuf, Entry>,
    open: BTreeMap<c_int, Node>,
    files: usize,
    pub ops: Vec<Op>,
    pub faults: Faults,
}

impl Recorder {
    /// The directory holds what the image says.
    pub fn new(root: &Path, image: &Image, faults: Faults) -> Self {
        let names = image.entries();
        let (files, open, ops) = (image.files.len(), BTreeMap::new(), Vec::new());
        Recorder { root: root.to_owned(), names, open, files, ops, faults }
    }

    fn within(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.root).ok().map(Path::to_owned)
    }

    fn name(&mut self, path: PathBuf, entry: Entry) {
        self.names.insert(path.clone(), entry);
        self.ops.push(Op::Name { path, entry });
    }

    pub fn opened(&mut self, path: &Path, truncates: bool, fd: c_int) {
        self.open.remove(&fd);
        let Some(path) = self.within(path) else { return };
        let node = match self.names.get(&path) {
            _ if path.as_os_str().is_empty() => Node::Dir(path),
            Some(Entry::Dir) => Node::Dir(path),
            Some(&Entry::File(file)) => {
                if truncates {
                    self.ops.push(Op::Resize { file, len: 0 });
                }
                Node::File(file)
            }
            None => {
                let file = self.files;
                self.files += 1;
                self.name(path, Entry::File(file));
                Node::File(file)
            }
        };
        self.open.insert(fd, node);
    }

    pub fn closed(&mut self, fd: c_int) {
        self.open.remove(&fd);
    }

    fn file(&self, fd: c_int) -> Option<FileId> {
        match self.open.get(&fd) {
            Some(&Node::File(file)) => Some(file),
            _ => None,
        }
    }

    /// What a write fails with.
    pub fn refuses_write(&mut self, fd: c_int) -> Option<c_int> {
        self.file(fd)?;
        self.faults.of_room("writes without room")
    }

    pub fn wrote(&mut self, fd: c_int, end: u64, bytes: Vec<u8>) {
        if let Some(file) = self.file(fd) {
            self.ops.push(Op::Write { file, at: end - bytes.len() as u64, bytes });
        }
    }

    pub fn resized(&mut self, fd: c_int, len: u64) {
        if let Some(file) = self.file(fd) {
            self.ops.push(Op::Resize { file, len });
        }
    }

    /// Whether a sync is ours, and what it fails with.
    pub fn synced(&mut self, fd: c_int) -> Option<Result<(), c_int>> {
        let node = self.open.get(&fd)?;
        let fault = self.faults.of_sync(matches!(node, Node::Dir(_)));
        let fails = fault.map(|(_, seed)| seed);
        self.ops.push(match node {
            Node::File(file) => Op::SyncFile { file: *file, fails },
            Node::Dir(path) => Op::SyncDir { path: path.clone(), fails },
        });
        Some(fault.map_or(Ok(()), |(errno, _)| Err(errno)))
    }

    /// What a rename fails with.
    pub fn refuses_rename(&mut self, to: &Path) -> Option<c_int> {
        self.within(to)?;
        self.faults.of_room("renames without room")
    }

    pub fn renamed(&mut self, from: &Path, to: &Path) {
        let (Some(from), Some(to)) = (self.within(from), self.within(to)) else { return };
        if let Some(entry) = self.names.remove(&from) {
            self.names.insert(to.clone(), entry);
            self.ops.push(Op::Rename { from, to, entry });
        }
    }

    pub fn linked(&mut self, from: &Path, to: &Path) {
        let (Some(from), Some(to)) = (self.within(from), self.within(to)) else { return };
        if let Some(&entry) = self.names.get(&from) {
            self.name(to, entry);
        }
    }

    pub fn removed(&mut self, path: &Path) {
        if let Some(path) = self.within(path) {
            self.names.remove(&path);
            self.ops.push(Op::Remove { path });
        }
    }

    pub fn made_dir(&mut self, path: &Path) {
        if let Some(path) = self.within(path) {
            self.name(path, Entry::Dir);
        }
    }

    /// Faults so far.
    pub fn faults_met(&self) -> u64 {
        self.faults.total()
    }
}
