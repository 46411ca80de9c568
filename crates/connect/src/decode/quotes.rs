//! Double quotes in CSV: whether a quoted field goes on, and whether one is broken.
//! It must not know where the bytes come from. As in arrow's reader, quotes only open at the start
//! of a field.

/// What the quotes of some bytes leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// Every field that was opened is closed.
    Closed,
    /// A quoted field goes on.
    Open,
    /// Text stands behind a closing quote: it was none.
    Broken,
}

#[derive(Clone, Copy)]
enum At {
    FieldStart,
    Field,
    Quoted,
    /// The quote may end the field or be the first half of a doubled one.
    QuoteInQuoted,
    /// Blanks behind a closing quote.
    BehindQuote,
}

impl Quotes {
    /// After more bytes, which begin a field where none goes on. What is broken stays so.
    pub(crate) fn after(self, bytes: &[u8]) -> Quotes {
        let mut at = match self {
            Quotes::Closed if !bytes.contains(&b'"') => return Quotes::Closed,
            Quotes::Closed => At::FieldStart,
            Quotes::Open => At::Quoted,
            Quotes::Broken => return Quotes::Broken,
        };
        for byte in bytes {
            at = match (at, byte) {
                (At::FieldStart | At::QuoteInQuoted, b'"') => At::Quoted,
                (At::Quoted, b'"') => At::QuoteInQuoted,
                (At::Quoted, _) => At::Quoted,
                // A lone `\r` ends a row for arrow's reader.
                (_, b',' | b'\r' | b'\n') => At::FieldStart,
                (At::QuoteInQuoted | At::BehindQuote, b' ' | b'\t') => At::BehindQuote,
                (At::QuoteInQuoted | At::BehindQuote, _) => return Quotes::Broken,
                _ => At::Field,
            };
        }

        if matches!(at, At::Quoted) { Quotes::Open } else { Quotes::Closed }
    }

    /// What is wrong with the quotes of a whole record.
    pub(crate) fn fault(record: &str) -> Option<&'static str> {
        match Quotes::Closed.after(record.as_bytes()) {
            Quotes::Closed => None,
            Quotes::Open => Some("a quote opens a field and none closes it"),
            Quotes::Broken => Some("text follows the quote that closes a field"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_closed_open_or_broken() {
        for (text, quotes) in [
            ("a,b", Quotes::Closed),
            ("a,5\" pipe,b", Quotes::Closed),
            ("a,\"x, y\",\"\"", Quotes::Closed),
            ("\"he said \"\"hi\"\"\" \t,b\r\n", Quotes::Closed),
            ("a,\"3in pipe\n", Quotes::Open),
            ("a,\"x\"\"", Quotes::Open),
            ("\"x\"y,b", Quotes::Broken),
            ("\"x\" \"y\"", Quotes::Broken),
        ] {
            assert_eq!(Quotes::Closed.after(text.as_bytes()), quotes, "{text}");
        }
        assert_eq!(Quotes::Open.after(b"y\",c\n"), Quotes::Closed);
        assert_eq!(Quotes::Open.after(b"b,\"4in pipe\n"), Quotes::Broken);
        assert_eq!(Quotes::Open.after(b"no more"), Quotes::Open);
    }
}
