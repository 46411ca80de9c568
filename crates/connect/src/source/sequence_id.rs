//! Which files a sequence is: the bytes of files as the id of a log, and what a change of it means.
//! It must not read records.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use tickcast_stream::LogId;
use tickcast_stream::error::{Error, Kind, OrFail, Result};

use super::compressed::{READ_BYTES, open_bytes};
use super::file_identity::{identity, of_length};
use super::file_list::ListedFile;
use super::file_spec::{FileFormat, FileOrder, STDIN};
use super::files_id::{Beginning, Change, FilesRead, digest};

/// So many first bytes say which file it is that is being read.
const BEGINNING_BYTES: u32 = 4096;
/// Of a Parquet file these last bytes count: they say where all else is.
const PARQUET_END_BYTES: u64 = 64 << 10;

/// The id of one file, of whatever length it is, unless it must not grow. None: of standard input.
pub(super) fn id_of_one(file: &ListedFile, known: Option<LogId>, order: FileOrder) -> Result<Option<LogId>> {
    if file.path.as_os_str() == STDIN {
        return Ok(None);
    }
    let id = open_bytes(&file.path).and_then(|bytes| identity(bytes, known));
    let id = id.and_then(|id| match order {
        FileOrder::Arrival => Ok(id),
        // What is added would stand among what was read.
        FileOrder::Time => Ok(of_length(id, file.path.metadata()?.len())),
    });
    id.map(Some).or_fail(Kind::Source, || format!("cannot read the beginning of {}", file.path.display()))
}

/// What is known of the files of a sequence.
#[derive(Default)]
pub(super) struct SequenceId {
    /// Of the first files, as they are.
    digests: Vec<u64>,
    /// The file that was being read when the known id was made.
    was_reading: Option<usize>,
    change: Option<String>,
}

impl SequenceId {
    /// The file that was being read as the id that was known last says.
    pub(super) fn was_reading(&self) -> Option<usize> {
        self.was_reading
    }

    /// What was found to be other than it was.
    pub(super) fn change(&self) -> Option<String> {
        self.change.clone()
    }

    /// The id while the file at a place is being read.
    pub(super) fn here(&mut self, files: &[ListedFile], at: usize) -> Result<LogId> {
        self.digest_up_to(files, at)?;
        let reading = beginning(&files[at], BEGINNING_BYTES)?;
        Ok(FilesRead::new(&self.digests[..at], reading).id())
    }

    /// The id of these files before the first of them is read, or the known one while those that
    /// were read then are as they were.
    pub(super) fn of_files(&mut self, files: &[ListedFile], known: Option<LogId>) -> Result<LogId> {
        let Some(id) = known else { return self.here(files, 0) };
        let known = FilesRead::of_id(id);
        self.digest_up_to(files, known.finished.min(files.len()))?;

        let there = self.digests.len().min(known.finished);
        let from = known.finished.saturating_sub(1);
        let mut beginnings = Vec::new();
        for file in files.iter().skip(from).take(3) {
            beginnings.push(beginning(file, known.reading.bytes)?);
        }
        let now = |at: usize| beginnings.get(at.checked_sub(from)?).copied();

        let Some(_) = known.change(&self.digests[..there], now) else {
            self.was_reading = Some(known.finished);
            return Ok(id);
        };

        // One that came in before is seen with the next file.
        self.digest_up_to(files, files.len().min(known.finished + 1))?;
        let there = self.digests.len().min(known.finished + 1);
        let change = known.change(&self.digests[..there], now);
        self.change = change.map(|change| in_words(change, files, known.finished));
        self.here(files, 0)
    }

    /// The id of all files, none of which may change or come in; the known one while none has.
    pub(super) fn of_sorted(&mut self, files: &[ListedFile], known: Option<LogId>) -> Result<LogId> {
        self.digest_up_to(files, files.len())?;
        let none = Beginning::of("", &[]);
        let id = FilesRead::new(&self.digests, none).id();
        let Some(known) = known.filter(|known| *known != id) else { return Ok(id) };
        let known = FilesRead::of_id(known);

        let change = known.change(&self.digests, |at| (at == files.len()).then_some(none));
        let change = match change.unwrap_or(Change::Several) {
            Change::Other(at) if at < files.len() => Change::CameIn(at),
            change => change,
        };
        let words = in_words(change, files, known.finished);
        self.change = Some(format!(
            "{words}. With `order: time` all files are sorted together, and none may change or come in"
        ));
        Ok(id)
    }

    /// Looks at as many files as that, each once.
    fn digest_up_to(&mut self, files: &[ListedFile], count: usize) -> Result<()> {
        for file in &files[self.digests.len().min(count)..count] {
            let fail = || format!("cannot read {}", file.path.display());
            self.digests.push(digest_of(file).or_fail(Kind::Source, fail)?);
        }
        Ok(())
    }
}

/// The digest of a file's name, length and content: all of it, or what tells all of it.
fn digest_of(file: &ListedFile) -> io::Result<u64> {
    let mut bytes = File::open(&file.path)?;
    let length = bytes.metadata()?.len();
    if file.format == FileFormat::Parquet {
        bytes.seek(SeekFrom::Start(length.saturating_sub(PARQUET_END_BYTES)))?;
    }

    let (mut crc, mut reader) = (crc32fast::Hasher::new(), BufReader::with_capacity(READ_BYTES, bytes));
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        crc.update(chunk);
        let read = chunk.len();
        reader.consume(read);
    }

    let content = crc.finalize().to_le_bytes();
    Ok(digest(&[file.name.as_bytes(), &[0], &length.to_le_bytes(), &content].concat()))
}

fn beginning(file: &ListedFile, bytes: u32) -> Result<Beginning> {
    let read = || {
        let mut first = Vec::new();
        File::open(&file.path)?.take(bytes.min(BEGINNING_BYTES).into()).read_to_end(&mut first)?;
        Ok::<_, io::Error>(first)
    };
    let fail = || format!("cannot read the beginning of {}", file.path.display());
    let first = read().map_err(|cause| Error::new(Kind::Source, fail()).because(cause))?;
    Ok(Beginning::of(&file.name, &first))
}

/// A change for a person; `read`: how many files had been read to their ends.
fn in_words(change: Change, files: &[ListedFile], read: usize) -> String {
    let name = |at: usize| {
        files.get(at).map_or_else(|| "the end".to_owned(), |file| file.path.display().to_string())
    };
    let before =
        |at: usize| if at == 0 { "first of all".to_owned() } else { format!("after {}", name(at - 1)) };

    match change {
        Change::CameIn(at) => {
            format!("file {} came in before {}, which was read without it", name(at), name(at + 1))
        }
        Change::Changed(at) => format!("file {} was changed after it had been read", name(at)),
        Change::Gone(at) => {
            format!("a file that had been read is gone: it stood {}, before {}", before(at), name(at))
        }
        Change::Other(at) if at >= files.len() => {
            format!("the file that was being read is gone: it stood {}", before(at))
        }
        Change::Other(at) => format!(
            "file {} is not as it was when it was being read: it was replaced or shortened, or the file that stood {} \
             then is gone",
            name(at),
            before(at)
        ),
        Change::Several => format!(
            "of the {read} files that had been read several were changed, are gone, or have others between them"
        ),
    }
}
