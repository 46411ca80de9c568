//! The bytes of a file, decompressed where its name says so.
//! It must not know what the bytes are.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

/// Bytes that are read at once.
pub(super) const READ_BYTES: usize = 256 << 10;
/// What a zip archive begins with, one without files too.
const ZIP: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// Errors: also for a zip archive, which has files of its own.
pub(super) fn open_bytes(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    let mut file = BufReader::with_capacity(READ_BYTES, File::open(path)?);
    let start = file.fill_buf()?;
    if ZIP.iter().any(|zip| start.starts_with(zip)) {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "it is a zip archive, which holds files: unpack it (unzip) and read those, or compress them as .gz or .zst",
        ));
    }

    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    Ok(match extension.as_deref() {
        Some("gz") => Box::new(GzMembers::new(file, path)),
        Some("zst") => Box::new(zstd::Decoder::with_buffer(file)?),
        _ => Box::new(file),
    })
}

/// The members of a gzip file, one after the other. Zeros behind one are none: tapes and block
/// devices fill files up with them.
struct GzMembers<R> {
    /// None after the last one.
    member: Option<GzDecoder<R>>,
    name: String,
}

impl<R: BufRead> GzMembers<R> {
    fn new(file: R, path: &Path) -> Self {
        GzMembers { member: Some(GzDecoder::new(file)), name: path.display().to_string() }
    }

    /// Whether something that is not zero follows.
    fn has_more(&self, rest: &mut R) -> io::Result<bool> {
        let mut zeros = 0;
        loop {
            let bytes = rest.fill_buf()?;
            let here = bytes.iter().take_while(|byte| **byte == 0).count();
            let (is_end, is_member) = (bytes.is_empty(), here < bytes.len());
            rest.consume(here);
            zeros += here;

            if is_member {
                return Ok(true);
            }
            if is_end {
                if zeros > 0 {
                    let name = &self.name;
                    tracing::warn!(
                        "{name} ends with {zeros} zeros behind its gzip data; they are passed over"
                    );
                }
                return Ok(false);
            }
        }
    }
}

impl<R: BufRead> Read for GzMembers<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(into)?;
            if count > 0 || into.is_empty() {
                return Ok(count);
            }
            let Some(mut rest) = self.member.take().map(GzDecoder::into_inner) else { break };
            self.member = if self.has_more(&mut rest)? { Some(GzDecoder::new(rest)) } else { None };
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gz(text: &str) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(text.as_bytes()).unwrap();
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8], name: &str, buffer: usize) -> io::Result<String> {
        let mut text = String::new();
        let file = BufReader::with_capacity(buffer, bytes);
        GzMembers::new(file, Path::new(name)).read_to_string(&mut text).map(|_| text)
    }

    /// Found by: users' cases. A file that a tape had filled up was read to its last record, and
    /// then the run ended with an error.
    #[test]
    fn zeros_behind_members_are_passed_over_and_other_bytes_are_not() {
        let zeros = |count: usize| vec![0u8; count];
        let padded = [gz("a\n"), zeros(700), gz("b\n"), zeros(512)].concat();
        for buffer in [1, 7, 512, 4096] {
            assert_eq!(read(&padded, "x.gz", buffer).unwrap(), "a\nb\n");
            assert_eq!(read(&gz("a\n"), "x.gz", buffer).unwrap(), "a\n");
            assert!(read(&[gz("a\n"), b"more".to_vec()].concat(), "x.gz", buffer).is_err());
            let cut = gz("a longer text that is cut off somewhere");
            assert!(read(&cut[..cut.len() - 9], "x.gz", buffer).is_err());
        }
    }

    #[test]
    fn a_zip_archive_is_refused_whatever_its_name_is() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["x.zip", "x.csv", "x.gz"] {
            let path = dir.path().join(name);
            std::fs::write(&path, b"PK\x03\x04rest").unwrap();
            let refused = open_bytes(&path).err().unwrap().to_string();
            assert!(refused.contains("a zip archive") && refused.contains("unzip"), "{refused}");
        }
    }
}
