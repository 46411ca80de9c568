//! The grammar of JSON (RFC 8259): one pass over a text that is UTF-8 already, which hands out
//! names and values as they are written.
//! It must not know what they mean.
//!
//! What it takes is what `serde_json` takes, but for two things. The depth is bounded. And `NaN`,
//! `Infinity` and `-Infinity`, which some writers have where there is no number, are null.
//! Half of a surrogate pair is no fault of the grammar: it is noted, see
//! [`Scanner::has_lone_surrogate`].

use std::borrow::Cow;
use std::result;

/// How deep objects and lists may be nested: they are passed over by recursion.
pub(super) const MAX_DEPTH: usize = 128;

/// The text is no JSON, or is nested too deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

type Result<T> = result::Result<T, Malformed>;

/// A string between its quotes, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written<'a> {
    /// With its quotes.
    quoted: &'a str,
    is_escaped: bool,
}

impl<'a> Written<'a> {
    /// The string, where nothing in it is escaped.
    pub(super) fn plain(self) -> Option<&'a str> {
        if self.is_escaped { None } else { self.quoted.get(1..self.quoted.len() - 1) }
    }

    /// What the string says; with half of a surrogate pair nothing.
    pub(super) fn said(self) -> Cow<'a, str> {
        match self.plain() {
            Some(plain) => Cow::Borrowed(plain),
            None => Cow::Owned(serde_json::from_str(self.quoted).unwrap_or_default()),
        }
    }
}

/// A value as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    String(Written<'a>),
    /// A number with its digits, or `true` or `false`.
    Word(&'a str),
    /// An object or a list.
    Nested,
}

/// Where in a text the scan has come to.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    has_lone_surrogate: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Scanner { text, at: 0, has_lone_surrogate: false }
    }

    /// A scanner within a text that has been scanned: there is nothing wrong with it.
    pub(super) fn within(text: &'a str, at: usize) -> Self {
        Scanner { text, at, has_lone_surrogate: false }
    }

    /// The text that is scanned.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// Where the scan has come to.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Where the next value begins.
    pub(super) fn next_at(&mut self) -> usize {
        self.skip_blanks();
        self.at
    }

    /// Enters the value that comes next, where it begins so: an object with `{`, a list with `[`.
    pub(super) fn enter(&mut self, begin: u8) -> bool {
        self.skip_blanks();
        let is_one = self.peek() == begin;
        self.at += usize::from(is_one);
        is_one
    }

    /// Goes to the list's next element; false at the list's end.
    pub(super) fn next_element(&mut self, is_first: bool) -> Result<bool> {
        self.skip_blanks();
        match self.peek() {
            b']' => {
                self.at += 1;
                return Ok(false);
            }
            b',' if !is_first => self.at += 1,
            _ if is_first => {}
            _ => return Err(Malformed),
        }
        self.skip_blanks();

        Ok(true)
    }

    /// Whether a string passed so far has half of a surrogate pair, which is no character.
    pub(super) fn has_lone_surrogate(&self) -> bool {
        self.has_lone_surrogate
    }

    /// Enters the object that the text has to begin with.
    pub(super) fn begin_object(&mut self) -> Result<()> {
        self.skip_blanks();
        self.expect(b'{')
    }

    /// The name of the object's next field, up to its value; none at the object's end.
    pub(super) fn next_name(&mut self, is_first: bool) -> Result<Option<Written<'a>>> {
        self.skip_blanks();
        match self.peek() {
            b'}' => {
                self.at += 1;
                return Ok(None);
            }
            b',' if !is_first => {
                self.at += 1;
                self.skip_blanks();
            }
            _ if is_first => {}
            _ => return Err(Malformed),
        }

        let name = self.string()?;
        self.skip_blanks();
        self.expect(b':')?;
        Ok(Some(name))
    }

    /// The next value, with `depth` objects and lists around it.
    pub(super) fn value(&mut self, depth: usize) -> Result<Value<'a>> {
        self.skip_blanks();

        match self.peek() {
            b'"' => self.string().map(Value::String),
            b'-' if self.text.as_bytes().get(self.at + 1) == Some(&b'I') => {
                self.word("-Infinity").map(|_| Value::Null)
            }
            b'-' | b'0'..=b'9' => self.number().map(Value::Word),
            b'n' => self.word("null").map(|_| Value::Null),
            b'N' => self.word("NaN").map(|_| Value::Null),
            b'I' => self.word("Infinity").map(|_| Value::Null),
            b't' => self.word("true").map(Value::Word),
            b'f' => self.word("false").map(Value::Word),
            b'{' | b'[' if depth >= MAX_DEPTH => Err(Malformed),
            b'{' => self.skip_object(depth + 1),
            b'[' => self.skip_list(depth + 1),
            _ => Err(Malformed),
        }
    }

    /// Nothing but blanks may follow.
    pub(super) fn end(&mut self) -> Result<()> {
        self.skip_blanks();
        if self.at == self.text.len() { Ok(()) } else { Err(Malformed) }
    }

    #[cold]
    fn skip_object(&mut self, depth: usize) -> Result<Value<'a>> {
        self.at += 1;
        let mut is_first = true;
        while self.next_name(is_first)?.is_some() {
            self.value(depth)?;
            is_first = false;
        }
        Ok(Value::Nested)
    }

    #[cold]
    fn skip_list(&mut self, depth: usize) -> Result<Value<'a>> {
        self.at += 1;
        self.skip_blanks();
        if self.peek() == b']' {
            self.at += 1;
            return Ok(Value::Nested);
        }

        loop {
            self.value(depth)?;
            self.skip_blanks();
            let next = self.peek();
            self.at += 1;
            match next {
                b',' => {}
                b']' => return Ok(Value::Nested),
                _ => return Err(Malformed),
            }
        }
    }

    #[inline]
    fn string(&mut self) -> Result<Written<'a>> {
        let from = self.at;
        self.expect(b'"')?;
        let bytes = self.text.as_bytes();
        let plain = bytes[self.at..].iter().position(|&byte| !IS_PLAIN[usize::from(byte)]);
        self.at += plain.ok_or(Malformed)?;
        if self.peek() != b'"' {
            return self.escaped_string(from);
        }

        self.at += 1;
        Ok(Written { quoted: &self.text[from..self.at], is_escaped: false })
    }

    /// The rest of a string that began at `from`, from its first escape on.
    #[cold]
    fn escaped_string(&mut self, from: usize) -> Result<Written<'a>> {
        let mut has_surrogate = false;
        loop {
            match self.peek() {
                b'"' => break,
                b'\\' => has_surrogate |= self.escape()?,
                byte if byte < b' ' => return Err(Malformed),
                _ => self.at += 1,
            }
        }

        self.at += 1;
        let quoted = &self.text[from..self.at];
        self.has_lone_surrogate |= has_surrogate && serde_json::from_str::<String>(quoted).is_err();
        Ok(Written { quoted, is_escaped: true })
    }

    /// Whether the escape is a half of a surrogate pair.
    fn escape(&mut self) -> Result<bool> {
        let bytes = &self.text.as_bytes()[self.at + 1..];
        let is_surrogate = match bytes {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => {
                self.at += 2;
                false
            }
            [b'u', digits @ ..] if digits.len() >= 4 && digits[..4].iter().all(u8::is_ascii_hexdigit) => {
                self.at += 6;
                matches!(digits, [b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..])
            }
            _ => return Err(Malformed),
        };

        Ok(is_surrogate)
    }

    #[inline]
    fn number(&mut self) -> Result<&'a str> {
        let from = self.at;
        self.at += usize::from(self.peek() == b'-');
        match self.peek() {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }

        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }

        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            self.digits()?;
        }
        Ok(&self.text[from..self.at])
    }

    /// At least one digit.
    #[inline]
    fn digits(&mut self) -> Result<()> {
        let from = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at > from { Ok(()) } else { Err(Malformed) }
    }

    fn word(&mut self, word: &str) -> Result<&'a str> {
        let found = self.text.get(self.at..self.at + word.len()).filter(|found| *found == word);
        self.at += word.len();
        found.ok_or(Malformed)
    }

    #[inline]
    fn skip_blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    #[inline]
    fn expect(&mut self, wanted: u8) -> Result<()> {
        if self.peek() != wanted {
            return Err(Malformed);
        }
        self.at += 1;
        Ok(())
    }

    /// The next byte; 0 at the end, which is nowhere part of the grammar.
    #[inline]
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }
}

/// For every byte, whether it stands for itself within a string.
const IS_PLAIN: [bool; 256] = {
    let mut is_plain = [true; 256];
    let mut control = 0;
    while control < b' ' as usize {
        is_plain[control] = false;
        control += 1;
    }
    is_plain[b'"' as usize] = false;
    is_plain[b'\\' as usize] = false;
    is_plain
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    type Fields<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

    /// Whether the text is one object, its fields and whether half a surrogate pair is in it.
    fn scan(text: &str) -> Result<(Fields<'_>, bool)> {
        let mut json = Scanner::new(text);
        json.begin_object()?;
        let mut fields = Vec::new();
        while let Some(name) = json.next_name(fields.is_empty())? {
            fields.push((name.said(), json.value(1)?));
        }
        json.end()?;
        Ok((fields, json.has_lone_surrogate()))
    }

    #[test]
    fn fields_are_handed_out_as_they_are_written() {
        let (fields, lone) = scan(
            "\t{ \"a\" : 1.50e+3 ,\"\\u0061\\n\":true,\"c\":null,\"d\":\"x\",\"e\":[{}, [1,-Infinity]]}\r\n ",
        )
        .unwrap();
        let names: Vec<_> = fields.iter().map(|field| field.0.as_ref()).collect();
        assert_eq!((names, lone), (vec!["a", "a\n", "c", "d", "e"], false));
        assert_eq!(fields[0].1, Value::Word("1.50e+3"));
        assert_eq!(fields[1].1, Value::Word("true"));
        assert_eq!(fields[2].1, Value::Null);
        assert!(matches!(fields[3].1, Value::String(text) if text.plain() == Some("x")));
        assert_eq!(fields[4].1, Value::Nested);
    }

    /// Found by: users' cases. A record was rejected for a NaN in a column that nobody read.
    #[test]
    fn what_is_written_for_no_number_is_null() {
        let (fields, _) = scan(r#"{"a":NaN,"b":-Infinity,"c":Infinity ,"d":[NaN]}"#).unwrap();
        let values: Vec<Value<'_>> = fields.into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [Value::Null, Value::Null, Value::Null, Value::Nested]);
        for text in [r#"{"a":nan}"#, r#"{"a":NaNa}"#, r#"{"a":-NaN}"#, r#"{"a":- Infinity}"#, r#"{"a":Inf}"#]
        {
            assert_eq!(scan(text).unwrap_err(), Malformed, "{text}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_noted_wherever_it_is() {
        for (text, lone) in [
            (r#"{"a":"\ud83d\ude00"}"#, false),
            (r#"{"a":"\ud83d"}"#, true),
            (r#"{"\uDE00":1}"#, true),
            (r#"{"a":[{"b":"\ud83d\u0041"}]}"#, true),
            (r#"{"a":"\\ud83d"}"#, false),
        ] {
            assert_eq!(scan(text).map(|scanned| scanned.1), Ok(lone), "{text}");
        }
    }

    #[test]
    fn the_depth_has_a_bound() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(scan(&nested(MAX_DEPTH - 1)).is_ok());
        assert_eq!(scan(&nested(MAX_DEPTH)).unwrap_err(), Malformed);
    }

    /// Pieces of JSON, whole and broken.
    #[rustfmt::skip]
    const PIECES: [&str; 44] = [
        "{", "}", "[", "]", ":", ",", "\"", "\\", " ", "\n", "\t", "\u{c}", "\0", "\u{7f}", "é", "\"a\"", "\"b\":",
        "\"c\":1", "null", "nul", "true", "false", "0", "-", "1", ".", "e", "E+", "1.5e-3", "01", "-0", "\\u", "\\ud83d",
        "\\ude00", "\\n", "\\x", "00e1", "\"\\u00e9\"", "{\"a\":", "[1,", "\u{feff}", "NaN", "Infinity", "\r",
    ];

    fn text_of_pieces() -> impl Strategy<Value = String> {
        proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..14)
            .prop_map(|pieces| format!("{{\"a\":{}}}", pieces.concat()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn it_takes_what_serde_json_takes(text in text_of_pieces()) {
            let plain = text.replace("NaN", "null").replace("-Infinity", "null").replace("Infinity", "null");
            let taken = serde_json::from_str::<IgnoredAny>(&plain).is_ok();
            prop_assert_eq!(scan(&text).is_ok(), taken, "{}", text);
        }
    }
}
