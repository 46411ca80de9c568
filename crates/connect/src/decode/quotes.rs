//! Quotes in CSV: whether a quoted field goes on, and whether one is broken.
//! It must not know where the bytes come from. As in arrow's reader, quotes only open at the start
//! of a field.

use super::csv_style::CsvStyle;

/// The characters that fields are enclosed by and separated with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quotes {
    quote: Option<u8>,
    delimiter: u8,
}

/// What the quotes of some bytes leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quoted {
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
    /// Those of a style of CSV.
    pub(crate) fn of(style: CsvStyle) -> Self {
        Quotes { quote: style.quote, delimiter: style.delimiter }
    }

    /// What more bytes leave behind, which begin a field where none goes on. What is broken stays
    /// so.
    pub(crate) fn after(self, quoted: Quoted, bytes: &[u8]) -> Quoted {
        let Some(quote) = self.quote else { return Quoted::Closed };
        let mut at = match quoted {
            Quoted::Closed if !bytes.contains(&quote) => return Quoted::Closed,
            Quoted::Closed => At::FieldStart,
            Quoted::Open => At::Quoted,
            Quoted::Broken => return Quoted::Broken,
        };
        for &byte in bytes {
            at = match at {
                At::FieldStart | At::QuoteInQuoted if byte == quote => At::Quoted,
                At::Quoted if byte == quote => At::QuoteInQuoted,
                At::Quoted => At::Quoted,
                // A lone `\r` ends a row for arrow's reader.
                _ if byte == self.delimiter || matches!(byte, b'\r' | b'\n') => At::FieldStart,
                At::QuoteInQuoted | At::BehindQuote if matches!(byte, b' ' | b'\t') => At::BehindQuote,
                At::QuoteInQuoted | At::BehindQuote => return Quoted::Broken,
                _ => At::Field,
            };
        }

        if matches!(at, At::Quoted) { Quoted::Open } else { Quoted::Closed }
    }

    /// What is wrong with the quotes of a whole record.
    pub(crate) fn fault(self, record: &str) -> Option<&'static str> {
        match self.after(Quoted::Closed, record.as_bytes()) {
            Quoted::Closed => None,
            Quoted::Open => Some("a quote opens a field and none closes it"),
            Quoted::Broken => Some("text follows the quote that closes a field"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTES: Quotes = Quotes { quote: Some(b'"'), delimiter: b',' };

    #[test]
    fn quotes_are_closed_open_or_broken() {
        for (text, quotes) in [
            ("a,b", Quoted::Closed),
            ("a,5\" pipe,b", Quoted::Closed),
            ("a,\"x, y\",\"\"", Quoted::Closed),
            ("\"he said \"\"hi\"\"\" \t,b\r\n", Quoted::Closed),
            ("a,\"3in pipe\n", Quoted::Open),
            ("a,\"x\"\"", Quoted::Open),
            ("\"x\"y,b", Quoted::Broken),
            ("\"x\" \"y\"", Quoted::Broken),
        ] {
            assert_eq!(QUOTES.after(Quoted::Closed, text.as_bytes()), quotes, "{text}");
        }
        assert_eq!(QUOTES.after(Quoted::Open, b"y\",c\n"), Quoted::Closed);
        assert_eq!(QUOTES.after(Quoted::Open, b"b,\"4in pipe\n"), Quoted::Broken);
        assert_eq!(QUOTES.after(Quoted::Open, b"no more"), Quoted::Open);
    }
}
