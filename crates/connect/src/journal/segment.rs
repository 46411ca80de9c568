//! The files of a journal: their names, their headers, and how a new one comes to be.
//! It must not read records.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::{LogId, Offset};

const MAGIC: [u8; 16] = *b"tickcast journal";
/// Of the form of headers and frames.
const VERSION: u32 = 1;
/// Magic, version, id of the journal, first offset, CRC-32 of all of them.
pub(super) const HEADER_BYTES: u64 = 16 + 4 + 16 + 8 + 4;
const SUFFIX: &str = ".journal";
const NEW: &str = "new.tmp";

/// The file of the segment that begins with this record.
pub(super) fn path_of(dir: &Path, first: Offset) -> PathBuf {
    dir.join(format!("{:020}{SUFFIX}", first.0))
}

/// The first records of all segments, in order. Errors: `Source`, when the directory cannot be
/// read.
pub(super) fn segments(dir: &Path) -> Result<Vec<Offset>> {
    let fail = || format!("cannot read the journal {}", dir.display());
    let mut firsts = Vec::new();
    for entry in fs::read_dir(dir).or_fail(Kind::Source, fail)? {
        let name = entry.or_fail(Kind::Source, fail)?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        firsts.extend(number.and_then(|number| number.parse().ok()).map(Offset));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// Opens a segment. The id of its journal, and the file, behind the header. Errors: `Source`, also
/// when it is no segment or another one than its name says.
pub(super) fn open(dir: &Path, first: Offset) -> Result<(LogId, File)> {
    let path = path_of(dir, first);
    let mut file = File::open(&path).or_fail(Kind::Source, || format!("cannot open {}", path.display()))?;
    let mut header = [0; HEADER_BYTES as usize];
    let read = file.read_exact(&mut header);
    read.or_fail(Kind::Source, || format!("{} has no whole header", path.display()))?;
    let id = read_header(&header, first).map_err(|why| {
        let what = format!("{} is no segment of a journal: {why}", path.display());
        Error::new(Kind::Source, what)
    })?;
    Ok((id, file))
}

/// Makes a segment that begins with this record, durable with its name, and opens it to be written.
pub(super) fn create(dir: &Path, id: LogId, first: Offset) -> io::Result<File> {
    let temporary = dir.join(NEW);
    let mut file = File::options().create(true).truncate(true).write(true).open(&temporary)?;
    file.write_all(&header(id, first))?;
    file.sync_all()?;
    fs::rename(&temporary, path_of(dir, first))?;
    File::open(dir)?.sync_all()?;
    Ok(file)
}

fn header(id: LogId, first: Offset) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(id.0.to_be_bytes());
    bytes.extend(first.0.to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

fn read_header(bytes: &[u8; HEADER_BYTES as usize], first: Offset) -> std::result::Result<LogId, String> {
    let mut id = [0; 16];
    id.copy_from_slice(&bytes[20..36]);
    let id = LogId(u128::from_be_bytes(id));
    if bytes[..16] != MAGIC {
        return Err("it begins with other bytes".into());
    }
    let version = u32::from_le_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);

    if version != VERSION {
        return Err(format!("it has version {version}, this tickcast reads {VERSION}"));
    }
    if bytes[..] != header(id, first) {
        return Err("its header is damaged, or it was renamed".into());
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_opened_as_it_was_made_and_nothing_else_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let id = LogId(7 << 100);
        create(dir, id, Offset(5)).unwrap();
        create(dir, id, Offset(0)).unwrap();
        fs::write(dir.join("notes.txt"), "").unwrap();
        assert_eq!(segments(dir).unwrap(), [Offset(0), Offset(5)]);
        assert_eq!(open(dir, Offset(5)).unwrap().0, id);

        let why = |first| open(dir, Offset(first)).unwrap_err().to_string();
        fs::rename(path_of(dir, Offset(5)), path_of(dir, Offset(6))).unwrap();
        assert!(why(6).contains("was renamed"), "{}", why(6));
        fs::write(path_of(dir, Offset(7)), "tick").unwrap();
        assert!(why(7).contains("no whole header"), "{}", why(7));
        let mut newer = header(id, Offset(8));
        newer[16] = 2;
        fs::write(path_of(dir, Offset(8)), newer).unwrap();
        assert!(why(8).contains("version 2"), "{}", why(8));
        assert!(why(9).contains("cannot open"), "{}", why(9));
    }
}
