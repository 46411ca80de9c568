//! What stands before a record in a payload: the number of its schema in a registry, or its
//! schema's fingerprint. It must not know a schema.

/// A payload and what stands before the record in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framed<'a> {
    /// A zero byte and the number of a schema in a registry, big end first (Confluent's wire
    /// format).
    Numbered(u32, &'a [u8]),
    /// The two bytes of Avro's single objects and a fingerprint of their schema.
    Single(&'a [u8]),
    /// Nothing.
    Plain(&'a [u8]),
}

impl<'a> Framed<'a> {
    pub(crate) fn of(payload: &'a [u8]) -> Self {
        match payload {
            [0, a, b, c, d, body @ ..] => Framed::Numbered(u32::from_be_bytes([*a, *b, *c, *d]), body),
            [0xc3, 0x01, _, _, _, _, _, _, _, _, body @ ..] => Framed::Single(body),
            _ => Framed::Plain(payload),
        }
    }
}

/// A payload without the number of its schema, where it begins with one: not for a format whose
/// records may begin with a zero.
pub(crate) fn without_frame(payload: &[u8]) -> &[u8] {
    match Framed::of(payload) {
        Framed::Numbered(_, body) => body,
        Framed::Single(_) | Framed::Plain(_) => payload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_known_by_how_they_begin() {
        assert_eq!(Framed::of(&[0, 0, 0, 1, 2, 9]), Framed::Numbered(258, &[9]));
        assert_eq!(Framed::of(&[0xc3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 7]), Framed::Single(&[7]));
        for plain in [&[0, 1, 2][..], &[0xc3, 1, 5], &[8, 1], &[]] {
            assert_eq!(Framed::of(plain), Framed::Plain(plain));
        }
    }
}
