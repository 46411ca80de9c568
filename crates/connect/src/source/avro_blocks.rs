//! The blocks of an Avro object container file: the header, and the bytes of each block, as they
//! were before they were compressed.
//! It must not know what the objects in them mean.
//!
//! A file is `Obj\x01`, a map of texts with the schema and the codec, a mark of 16 bytes, and
//! blocks: how many objects, how many bytes, the bytes, and the mark again.

use std::io::{self, BufRead, Read};

use flate2::read::DeflateDecoder;

/// What a file begins with.
const MAGIC: &[u8; 4] = b"Obj\x01";
/// Bytes of the mark behind the header and behind each block.
const MARK_BYTES: usize = 16;
/// So large a header may be.
const HEADER_BYTES_MAX: u64 = 16 << 20;
/// So large a block may be, as it stands and as it is read: what is larger is damaged, or a bomb.
const BLOCK_BYTES_MAX: u64 = 256 << 20;

/// How the bytes of blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
}

/// What a file says before its blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AvroHeader {
    /// The schema of its objects, as JSON.
    pub(super) schema: String,
    codec: Codec,
    mark: [u8; MARK_BYTES],
}

/// A block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) objects: u64,
    /// As they were before they were compressed; empty where the block was passed over.
    pub(super) bytes: Vec<u8>,
}

/// What is wrong with a file, for a person.
fn broken(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// A long as Avro has it; none at the end of the file, where that may be.
fn long(reader: &mut impl Read) -> io::Result<Option<i64>> {
    let mut zigzag = 0_u64;
    for at in 0..10 {
        let mut byte = [0];
        if reader.read(&mut byte)? == 0 {
            return if at == 0 { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        zigzag |= u64::from(byte[0] & 0x7f) << (7 * at);
        if byte[0] & 0x80 == 0 {
            return Ok(Some((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)));
        }
    }

    Err(broken("a number has more than 64 bits"))
}

/// A length that is not negative and not beyond a limit.
fn length(reader: &mut impl Read, limit: u64, what: &str) -> io::Result<u64> {
    let length = long(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    u64::try_from(length)
        .ok()
        .filter(|length| *length <= limit)
        .ok_or_else(|| broken(format!("{what} of {length} bytes; at most {limit} are read")))
}

fn bytes(reader: &mut impl Read, limit: u64, what: &str) -> io::Result<Vec<u8>> {
    let wanted = length(reader, limit, what)?;
    // As many as there are, not as many as are said to be.
    let mut bytes = Vec::new();
    if reader.take(wanted).read_to_end(&mut bytes)? as u64 != wanted {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

impl AvroHeader {
    /// Reads the header of a file. Errors: `InvalidData`, saying why it is none.
    pub(super) fn read(reader: &mut impl Read) -> io::Result<Self> {
        let mut magic = Vec::new();
        reader.take(MAGIC.len() as u64).read_to_end(&mut magic)?;
        if magic != MAGIC {
            return Err(broken("it does not begin as an Avro object container file does"));
        }

        let (mut schema, mut codec) = (None, Codec::Null);
        let mut entries = reader.take(HEADER_BYTES_MAX);
        loop {
            let count = long(&mut entries)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if count == 0 {
                break;
            }

            if count < 0 {
                long(&mut entries)?;
            }
            for _ in 0..count.unsigned_abs() {
                let name = bytes(&mut entries, HEADER_BYTES_MAX, "a name")?;
                let value = bytes(&mut entries, HEADER_BYTES_MAX, "a value")?;
                match name.as_slice() {
                    b"avro.schema" => schema = String::from_utf8(value).ok(),
                    b"avro.codec" => codec = codec_of(&value)?,
                    _ => {}
                }
            }
        }

        let mut mark = [0; MARK_BYTES];
        entries.read_exact(&mut mark)?;
        let schema = schema.ok_or_else(|| broken("its header has no schema"))?;
        Ok(AvroHeader { schema, codec, mark })
    }

    /// The next block, or only how many objects it has where `pass_over` says that they are not
    /// wanted; none at the end. Errors: `UnexpectedEof`, when the file ends within the block;
    /// `InvalidData`, when the block is damaged or too large.
    pub(super) fn block(
        &self,
        reader: &mut impl BufRead,
        pass_over: impl Fn(u64) -> bool,
    ) -> io::Result<Option<Block>> {
        let Some(objects) = long(reader)? else { return Ok(None) };
        let objects = u64::try_from(objects).map_err(|_| broken(format!("a block of {objects} objects")))?;
        if pass_over(objects) {
            let size = length(reader, BLOCK_BYTES_MAX, "a block")?;
            if io::copy(&mut reader.take(size), &mut io::sink())? != size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.check_mark(reader)?;
            return Ok(Some(Block { objects, bytes: Vec::new() }));
        }

        let packed = bytes(reader, BLOCK_BYTES_MAX, "a block")?;
        self.check_mark(reader)?;
        let bytes = self.unpacked(packed)?;
        if objects > bytes.len() as u64 || (objects == 0 && !bytes.is_empty()) {
            return Err(broken(format!("a block of {objects} objects in {} bytes", bytes.len())));
        }
        Ok(Some(Block { objects, bytes }))
    }

    fn check_mark(&self, reader: &mut impl Read) -> io::Result<()> {
        let mut mark = [0; MARK_BYTES];
        reader.read_exact(&mut mark)?;
        if mark != self.mark {
            return Err(broken("the mark behind a block is not that of the file: the block is damaged"));
        }
        Ok(())
    }

    fn unpacked(&self, packed: Vec<u8>) -> io::Result<Vec<u8>> {
        match self.codec {
            Codec::Null => Ok(packed),
            Codec::Deflate => all_of(DeflateDecoder::new(packed.as_slice())),
            Codec::Zstandard => all_of(zstd::Decoder::with_buffer(packed.as_slice())?),
            Codec::Snappy => unpacked_snappy(&packed),
        }
    }
}

/// All bytes of a decoder, up to the limit.
fn all_of(decoder: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    decoder.take(BLOCK_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BLOCK_BYTES_MAX {
        return Err(broken(format!("a block holds more than {BLOCK_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// Behind the bytes stands the checksum of what they hold.
fn unpacked_snappy(packed: &[u8]) -> io::Result<Vec<u8>> {
    let Some((packed, checksum)) = packed.split_last_chunk::<4>() else {
        return Err(broken("a block of snappy has no checksum"));
    };
    let holds = snap::raw::decompress_len(packed).map_err(|error| broken(error.to_string()))?;
    if holds as u64 > BLOCK_BYTES_MAX {
        return Err(broken(format!("a block holds {holds} bytes; at most {BLOCK_BYTES_MAX} are read")));
    }

    let bytes = snap::raw::Decoder::new().decompress_vec(packed);
    let bytes = bytes.map_err(|error| broken(error.to_string()))?;
    if crc32fast::hash(&bytes) != u32::from_be_bytes(*checksum) {
        return Err(broken("a block does not fit its checksum"));
    }
    Ok(bytes)
}

fn codec_of(name: &[u8]) -> io::Result<Codec> {
    Ok(match name {
        b"null" | b"" => Codec::Null,
        b"deflate" => Codec::Deflate,
        b"snappy" => Codec::Snappy,
        b"zstandard" => Codec::Zstandard,
        other => {
            let what = format!(
                "its blocks are compressed by `{}`; null, deflate, snappy and zstandard are read",
                other.escape_ascii()
            );
            return Err(io::Error::new(io::ErrorKind::Unsupported, what));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::write_long;

    fn written(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        write_long(value, &mut out);
        out
    }

    fn file(codec: &str, objects: i64, block: &[u8]) -> Vec<u8> {
        let text = |text: &str| [written(text.len() as i64), text.as_bytes().to_vec()].concat();
        let entries = [text("avro.schema"), text("\"int\""), text("avro.codec"), text(codec)].concat();
        // A block of the map that says its size.
        let header = [MAGIC.to_vec(), written(-2), written(entries.len() as i64), entries, written(0)];
        let mark = vec![7; MARK_BYTES];
        let block = [written(objects), written(block.len() as i64), block.to_vec(), mark.clone()];
        [header.concat(), mark, block.concat()].concat()
    }

    fn read(file: &[u8]) -> io::Result<Option<Block>> {
        let mut reader = file;
        AvroHeader::read(&mut reader)?.block(&mut reader, |_| false)
    }

    fn why(file: &[u8]) -> String {
        read(file).unwrap_err().to_string()
    }

    #[test]
    fn a_block_of_snappy_has_its_checksum_behind_it() {
        let bytes = vec![2; 5000];
        let mut packed = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
        packed.extend(crc32fast::hash(&bytes).to_be_bytes());
        let good = read(&file("snappy", 5000, &packed)).unwrap().unwrap();
        assert_eq!(good, Block { objects: 5000, bytes });

        packed[9] ^= 1;
        assert!(!why(&file("snappy", 5000, &packed)).is_empty());
        *packed.last_mut().unwrap() ^= 1;
        assert!(!why(&file("snappy", 5000, &packed)).is_empty());
        assert!(why(&file("snappy", 1, &[1, 2])).contains("no checksum"));
        // A length of 4 GiB is said in a few bytes.
        let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0];
        assert!(why(&file("snappy", 1, &bomb)).contains("at most"));
    }

    #[test]
    fn what_is_said_to_be_there_is_not_believed() {
        for (objects, block, wanted) in [
            (-1, &[0][..], "a block of -1 objects"),
            (i64::MAX, &[0], "objects in 1 bytes"),
            (2, &[0], "a block of 2 objects in 1 bytes"),
            (0, &[0], "a block of 0 objects in 1 bytes"),
        ] {
            assert!(why(&file("null", objects, block)).contains(wanted));
        }
        let whole = file("null", 1, &[0]);
        for cut in 1..whole.len() {
            let read = read(&whole[..cut]);
            let is_at_block = cut == whole.len() - MARK_BYTES - 3;
            assert!(read.is_err() || is_at_block && read.unwrap().is_none(), "{cut}");
        }
        let large = [&whole[..whole.len() - MARK_BYTES - 2], &written(i64::MAX)].concat();
        assert!(why(&large).contains("at most"), "{}", why(&large));
    }
}
