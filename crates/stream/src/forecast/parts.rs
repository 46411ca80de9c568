//! One piece of bytes a target, such as its state or its weights, as one: of a single target the
//! piece itself.
//! It must not know what the bytes mean.
//!
//! Of several targets each piece follows its length (u64, little-endian).

/// The pieces as one, in the order of the targets.
pub fn join(mut pieces: Vec<Vec<u8>>) -> Vec<u8> {
    if pieces.len() == 1 {
        return pieces.pop().unwrap_or_default();
    }
    let mut joined = Vec::with_capacity(pieces.iter().map(|piece| 8 + piece.len()).sum());
    for piece in pieces {
        joined.extend((piece.len() as u64).to_le_bytes());
        joined.extend(piece);
    }
    joined
}

/// The pieces of so many targets; what follows them is not read, as nobody reads what follows a
/// state. None: the bytes are not of so many.
pub fn split(mut joined: &[u8], targets: usize) -> Option<Vec<&[u8]>> {
    if targets == 1 {
        return Some(vec![joined]);
    }
    let mut pieces = Vec::new();
    for _ in 0..targets {
        let (length, rest) = joined.split_first_chunk()?;
        let (piece, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        pieces.push(piece);
        joined = rest;
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_piece_is_itself_and_several_come_back() {
        assert_eq!(join(vec![b"one".to_vec()]), b"one");
        assert_eq!(split(b"one", 1).unwrap(), [b"one"]);

        let pieces: [&[u8]; 3] = [b"first", b"", b"the last"];
        let joined = join(pieces.map(<[u8]>::to_vec).to_vec());
        assert_eq!(split(&joined, 3).unwrap(), pieces);
        assert_eq!(split(&[&joined[..], b"more"].concat(), 3).unwrap(), pieces);
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let joined = join(vec![b"first".to_vec(), b"second".to_vec()]);
        assert!((0..joined.len()).all(|length| split(&joined[..length], 2).is_none()));
        assert!(split(&joined, 3).is_none());
        assert!(split(&u64::MAX.to_le_bytes(), 2).is_none());
    }
}
