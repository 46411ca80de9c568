//! What a power cut leaves of what was done. What was synced is there: a file's bytes by a sync of
//! the file, a name by a sync of its directory. Of the rest any part is. It must not know who did
//! it.
//!
//! Not in the model: sectors that go bad, garbage where a file grew (there are zeros), a file system
//! that lets go of what was synced.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::Counts;
use super::record::{Entry, FileId, Op};

/// What is below a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    pub dirs: BTreeSet<PathBuf>,
    pub files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Image {
    /// What is there.
    pub fn read(root: &Path) -> Image {
        let mut image = Image::default();
        let mut waiting = vec![root.to_owned()];
        while let Some(dir) = waiting.pop() {
            for entry in fs::read_dir(dir).unwrap().flatten() {
                let (path, name) = (entry.path(), entry.path().strip_prefix(root).unwrap().to_owned());
                if path.is_dir() {
                    image.dirs.insert(name);
                    waiting.push(path);
                } else {
                    image.files.insert(name, fs::read(path).unwrap());
                }
            }
        }
        image
    }

    /// Puts it there, in place of all that is.
    pub fn write(&self, root: &Path) {
        let _ = fs::remove_dir_all(root);
        fs::create_dir_all(root).unwrap();
        self.dirs.iter().for_each(|dir| fs::create_dir_all(root.join(dir)).unwrap());
        self.files.iter().for_each(|(path, bytes)| fs::write(root.join(path), bytes).unwrap());
    }

    /// Its names; files are numbered in their order.
    pub fn entries(&self) -> BTreeMap<PathBuf, Entry> {
        let dirs = self.dirs.iter().map(|dir| (dir.clone(), Entry::Dir));
        let files = self.files.keys().enumerate().map(|(file, path)| (path.clone(), Entry::File(file)));
        dirs.chain(files).collect()
    }
}

/// A change of a file's bytes that is not durable yet.
enum Change<'a> {
    Write(u64, &'a [u8]),
    Resize(u64),
}

impl Change<'_> {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Write(at, bytes) => put(to, *at, bytes),
            Change::Resize(len) => to.resize(*len as usize, 0),
        }
    }
}

fn put(to: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let end = at as usize + bytes.len();
    if to.len() < end {
        to.resize(end, 0);
    }
    to[at as usize..end].copy_from_slice(bytes);
}

#[derive(Default)]
struct File<'a> {
    durable: Vec<u8>,
    pending: Vec<Change<'a>>,
}

struct Disk<'a> {
    names: BTreeMap<PathBuf, Entry>,
    /// Changes of names that are not durable yet.
    pending: Vec<&'a Op>,
    files: BTreeMap<FileId, File<'a>>,
}

/// What of pending changes is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    All,
    Nothing,
    /// In the order in which they were made, the last one torn.
    Prefix,
    /// Any part, in any order.
    Any,
}

impl Kept {
    fn draw(rng: &mut Pcg64Mcg) -> Kept {
        [Kept::All, Kept::Nothing, Kept::Prefix, Kept::Any][rng.random_range(0..4)]
    }
}

/// What is there after the power was cut when all of `ops` was done to `from`, nothing after it:
/// the seed decides which. Without one, what the running process sees is there.
pub fn cut(from: &Image, ops: &[Op], seed: Option<u64>, counts: &mut Counts) -> Image {
    let files =
        from.files.values().map(|bytes| File { durable: bytes.clone(), pending: Vec::new() }).enumerate();
    let mut disk = Disk { names: from.entries(), pending: Vec::new(), files: files.collect() };
    ops.iter().for_each(|op| disk.take(op, seed.is_some()));
    match seed {
        Some(seed) => disk.lose(&mut Pcg64Mcg::seed_from_u64(seed), counts),
        None => disk.lose_nothing(),
    }
    disk.image()
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn dir_of(op: &Op) -> &Path {
    match op {
        Op::Name { path, .. } | Op::Remove { path } | Op::Rename { to: path, .. } => parent(path),
        _ => Path::new(""),
    }
}

impl<'a> Disk<'a> {
    fn take(&mut self, op: &'a Op, fails: bool) {
        match op {
            Op::Name { .. } | Op::Remove { .. } | Op::Rename { .. } => self.pending.push(op),
            Op::Write { file, at, bytes } => self.change(*file, Change::Write(*at, bytes)),
            Op::Resize { file, len } => self.change(*file, Change::Resize(*len)),
            Op::SyncFile { file, fails: Some(seed) } if fails => {
                let file = self.files.entry(*file).or_default();
                let rng = &mut Pcg64Mcg::seed_from_u64(*seed);
                // What is not on the disk now never comes there, though the process still sees it.
                lose(file, Kept::draw(rng), rng, &mut Counts::new());
            }
            Op::SyncFile { file, .. } => lose_nothing(self.files.entry(*file).or_default()),
            Op::SyncDir { path, fails: failed } => {
                // Where it fails, the rest of the names stays to be written: it is in a journal.
                let mut rng = failed.filter(|_| fails).map(Pcg64Mcg::seed_from_u64);
                let mut fails = false;
                for op in std::mem::take(&mut self.pending) {
                    fails |= rng.as_mut().is_some_and(|rng| rng.random_range(0..3) == 0);
                    if dir_of(op) == path && !fails {
                        self.apply(op);
                    } else {
                        self.pending.push(op);
                    }
                }
            }
        }
    }

    fn change(&mut self, file: FileId, change: Change<'a>) {
        self.files.entry(file).or_default().pending.push(change);
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Name { path, entry } => drop(self.names.insert(path.clone(), *entry)),
            Op::Remove { path } => drop(self.names.remove(path)),
            Op::Rename { from, to, entry } => {
                if self.names.get(from) == Some(entry) {
                    self.names.remove(from);
                }
                self.names.insert(to.clone(), *entry);
            }
            _ => {}
        }
    }

    fn lose_nothing(&mut self) {
        std::mem::take(&mut self.pending).into_iter().for_each(|op| self.apply(op));
        self.files.values_mut().for_each(lose_nothing);
    }

    fn lose(&mut self, rng: &mut Pcg64Mcg, counts: &mut Counts) {
        let pending = std::mem::take(&mut self.pending);
        let kept = Kept::draw(rng);
        let first = rng.random_range(0..pending.len() + 1);
        let (mut lost, mut reordered) = (0, false);
        for (nth, op) in pending.into_iter().enumerate() {
            let is_kept = match kept {
                Kept::All => true,
                Kept::Nothing => false,
                Kept::Prefix => nth < first,
                Kept::Any => rng.random_range(0..2) == 0,
            };
            if is_kept {
                reordered |= lost > 0;
                self.apply(op);
                continue;
            }
            lost += 1;
            *counts.entry(lost_name(op)).or_default() += 1;
        }
        *counts.entry("names lost out of order").or_default() += u64::from(reordered);
        for file in self.files.values_mut().filter(|file| !file.pending.is_empty()) {
            let kept = Kept::draw(rng);
            lose(file, kept, rng, counts);
        }
    }

    /// What can be reached.
    fn image(self) -> Image {
        let mut image = Image::default();
        for (path, entry) in self.names {
            let dir = parent(&path);
            if !dir.as_os_str().is_empty() && !image.dirs.contains(dir) {
                continue;
            }
            match entry {
                Entry::Dir => drop(image.dirs.insert(path)),
                Entry::File(file) => {
                    let bytes = self.files.get(&file).map(|file| file.durable.clone());
                    image.files.insert(path, bytes.unwrap_or_default());
                }
            }
        }
        image
    }
}

fn lost_name(op: &Op) -> &'static str {
    match op {
        Op::Name { entry: Entry::Dir, .. } => "directories lost",
        Op::Name { .. } => "creates lost",
        Op::Remove { .. } => "unlinks lost",
        _ => "renames lost",
    }
}

fn lose_nothing(file: &mut File<'_>) {
    let File { durable, pending } = file;
    pending.drain(..).for_each(|change| change.apply(durable));
}

fn lose(file: &mut File<'_>, kept: Kept, rng: &mut Pcg64Mcg, counts: &mut Counts) {
    let mut count =
        |what: &'static str, happens: bool| *counts.entry(what).or_default() += u64::from(happens);
    let pending = std::mem::take(&mut file.pending);
    match kept {
        Kept::All => pending.iter().for_each(|change| change.apply(&mut file.durable)),
        Kept::Nothing => {
            count("writes lost", pending.iter().any(|change| matches!(change, Change::Write(..))));
            count("truncations lost", pending.iter().any(|change| matches!(change, Change::Resize(_))));
        }
        Kept::Prefix => {
            let first = rng.random_range(0..pending.len() + 1);
            pending[..first].iter().for_each(|change| change.apply(&mut file.durable));
            count("writes lost", pending.len() > first + 1);
            if let Some(Change::Write(at, bytes)) = pending.get(first) {
                let torn = rng.random_range(0..bytes.len() + 1);
                count("writes torn", torn > 0 && torn < bytes.len());
                put(&mut file.durable, *at, &bytes[..torn]);
            }
        }
        Kept::Any => lose_any(&pending, &mut file.durable, rng, &mut count),
    }
}

/// Blocks of writes come to the disk in any order, and a length before or after what it spans.
fn lose_any(
    pending: &[Change<'_>],
    durable: &mut Vec<u8>,
    rng: &mut Pcg64Mcg,
    count: &mut impl FnMut(&'static str, bool),
) {
    let block = [512, 4096][rng.random_range(0..2)];
    let mut seen = durable.clone();
    pending.iter().for_each(|change| change.apply(&mut seen));
    let (mut lost, mut reordered) = (false, false);
    for change in pending {
        match change {
            Change::Resize(len) if rng.random_range(0..2) == 0 => durable.resize(*len as usize, 0),
            Change::Resize(_) => count("truncations lost", true),
            Change::Write(at, bytes) => {
                let mut from = 0;
                while from < bytes.len() {
                    let to = bytes.len().min(from + block - (*at as usize + from) % block);
                    if rng.random_range(0..2) == 0 {
                        reordered |= lost;
                        put(durable, at + from as u64, &bytes[from..to]);
                    } else {
                        lost = true;
                    }
                    from = to;
                }
            }
        }
    }
    count("blocks lost out of order", reordered);
    if durable.len() < seen.len() && rng.random_range(0..2) == 0 {
        count("files grown by zeros", true);
        durable.resize(seen.len(), 0);
    }
}
