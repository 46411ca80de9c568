//! Which file it is: told by its first bytes, as a file that is replaced keeps its name.
//! It must not read records.

use std::io::{self, Read};

use tickcast_stream::LogId;

/// So many of the first bytes count, at most.
const BYTES: u32 = 4096;

/// The id of a file by the bytes that `reader` brings. A file that has grown since `known` is still
/// that one: as many bytes count as did then.
pub fn identity(mut reader: impl Read, known: Option<LogId>) -> io::Result<LogId> {
    let wanted = known.map_or(BYTES, length_of).min(BYTES);
    let mut bytes = Vec::new();
    reader.by_ref().take(wanted.into()).read_to_end(&mut bytes)?;

    // Two checksums of the same bytes in two orders are as good as one of twice the length.
    let forward = crc32fast::hash(&bytes);
    bytes.reverse();
    let backward = crc32fast::hash(&bytes);
    let length = bytes.len() as u128;
    Ok(LogId(length << 96 | u128::from(forward) << 32 | u128::from(backward)))
}

/// The id of a file that must not grow: also by the length of the whole of it.
pub fn of_length(id: LogId, bytes: u64) -> LogId {
    LogId(id.0 | u128::from(crc32fast::hash(&bytes.to_le_bytes())) << 64)
}

/// How many bytes an id is of.
fn length_of(id: LogId) -> u32 {
    (id.0 >> 96) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(bytes: &[u8], known: Option<LogId>) -> LogId {
        identity(bytes, known).unwrap()
    }

    #[test]
    fn a_file_that_grows_stays_itself_and_one_that_is_replaced_does_not() {
        for length in [0, 10, 4096, 10_000] {
            let before: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let known = id(&before, None);
            assert_eq!(id(&before, Some(known)), known);
            assert_eq!(id(&[&before[..], b"more"].concat(), Some(known)), known);
            if length > 0 {
                let mut other = before.clone();
                other[length / 2 % 4096] ^= 1;
                assert_ne!(id(&other, Some(known)), known);
                assert_ne!(id(&before[..length.min(4096) - 1], Some(known)), known, "it is shorter");
            }
        }
    }
}
