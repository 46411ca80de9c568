//! Framing: the bytes of a CSV or NDJSON stream cut into records.
//! It must not know where the bytes come from, nor decode a record.
//!
//! A record ends at a newline (or `\r\n`), in CSV only outside double quotes; the last one may end
//! with the stream. Blank lines are no records. A byte order mark at the start is skipped. A record
//! that is too large is cut to one byte more than is allowed, so that decoding rejects it; the next
//! record starts after the next newline.
//!
//! A quote that opens a field and that nothing closes costs the line it stands in, not all that
//! follows: where a quoted field runs over lines and ends with text behind its quote, with the
//! stream or beyond the size of a record, the record is its first line, and the next begins after
//! that.

use std::io::{self, BufRead, Cursor, Read};

use crate::decode::{CsvStyle, MAX_RECORD_BYTES, Quoted, Quotes};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Where a record ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// At every newline.
    Lines,
    /// At a newline outside quotes; lines that begin with the mark of a comment are none.
    Csv {
        /// How the fields are written.
        style: CsvStyle,
        /// The mark of a comment, if there is one.
        comment: Option<u8>,
    },
}

/// A record without its newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its bytes, or the beginning of them.
    pub bytes: Vec<u8>,
    /// How many bytes it had, where they are too many.
    pub cut_from: Option<u64>,
}

/// The records of a stream of bytes, one after the other.
pub struct Frames<R> {
    reader: R,
    framing: Framing,
    at_start: bool,
    whole_only: bool,
    /// Lines that were read and turned out to be records of their own.
    ahead: Cursor<Vec<u8>>,
}

impl<R: BufRead> Frames<R> {
    /// Cuts what the reader brings.
    pub fn new(reader: R, framing: Framing) -> Self {
        let ahead = Cursor::new(Vec::new());
        Frames { reader, framing, at_start: true, whole_only: false, ahead }
    }

    /// The last record counts only with its newline: without it, it may be half written.
    pub fn whole_only(mut self, whole_only: bool) -> Self {
        self.whole_only = whole_only;
        self
    }

    /// The reader itself.
    pub fn get_ref(&self) -> &R {
        &self.reader
    }

    /// The next record; none at the end.
    pub fn next_frame(&mut self) -> io::Result<Option<Frame>> {
        loop {
            let (mut frame, skipped) = self.read_frame()?;
            if frame.is_empty() {
                return Ok(None);
            }

            if std::mem::take(&mut self.at_start) && frame.starts_with(BYTE_ORDER_MARK) {
                frame.drain(..BYTE_ORDER_MARK.len());
            }
            if frame.ends_with(b"\n") {
                frame.pop();
                if frame.ends_with(b"\r") {
                    frame.pop();
                }
            }

            if !frame.trim_ascii().is_empty() && !self.is_comment(&frame) {
                let had = frame.len() as u64 + skipped;
                frame.truncate(MAX_RECORD_BYTES + 1);
                let cut_from = (had > frame.len() as u64).then_some(had);
                return Ok(Some(Frame { bytes: frame, cut_from }));
            }
        }
    }

    /// The next record with its newline, if it has one, and how many bytes of it were skipped;
    /// empty at the end.
    fn read_frame(&mut self) -> io::Result<(Vec<u8>, u64)> {
        // A mark and `\r\n` may come with a record of full size.
        let limit = MAX_RECORD_BYTES + BYTE_ORDER_MARK.len() + 2;
        let mut frame = Vec::new();
        self.read_line(&mut frame, limit)?;
        let first_line = frame.len();
        let Framing::Csv { style, .. } = self.framing else { return self.ended(frame, limit) };
        let quotes = Quotes::of(style);
        let is_whole = frame.ends_with(b"\n") && !self.is_comment(&frame);
        let mut quoted = if is_whole { quotes.after(Quoted::Closed, &frame) } else { Quoted::Closed };
        while quoted == Quoted::Open {
            let known = frame.len();
            self.read_line(&mut frame, limit)?;
            quoted = quotes.after(quoted, &frame[known..]);

            let is_end = frame.len() == known || (!frame.ends_with(b"\n") && frame.len() < limit);
            if is_end && self.whole_only {
                // The rest may be on its way.
                return Ok((Vec::new(), 0));
            }
            if quoted != Quoted::Closed && (quoted == Quoted::Broken || is_end || frame.len() == limit) {
                self.put_back(frame.split_off(first_line));
                break;
            }
        }
        self.ended(frame, limit)
    }

    fn is_comment(&self, line: &[u8]) -> bool {
        match self.framing {
            Framing::Csv { comment: Some(mark), .. } => line.first() == Some(&mark),
            _ => false,
        }
    }

    /// The same reader, whose records end so from now on.
    pub fn framed(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// A frame to which no line is added.
    fn ended(&mut self, frame: Vec<u8>, limit: usize) -> io::Result<(Vec<u8>, u64)> {
        if frame.ends_with(b"\n") {
            return Ok((frame, 0));
        }
        if self.whole_only && frame.len() < limit {
            return Ok((Vec::new(), 0));
        }
        let skipped = if frame.len() == limit { self.skip_line()? } else { 0 };
        Ok((frame, skipped))
    }

    /// Adds the next line, as far as the frame may have so many bytes; nothing at the end.
    fn read_line(&mut self, frame: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        let room = (limit - frame.len()) as u64;
        let mut read = 0;
        if !self.ahead.fill_buf()?.is_empty() {
            read = Read::take(&mut self.ahead, room).read_until(b'\n', frame)?;
        }
        if frame.ends_with(b"\n") && read > 0 {
            return Ok(read);
        }
        Ok(read + Read::take(&mut self.reader, room - read as u64).read_until(b'\n', frame)?)
    }

    /// What is read next, before all else.
    fn put_back(&mut self, mut bytes: Vec<u8>) {
        let at = self.ahead.position() as usize;
        bytes.extend_from_slice(&self.ahead.get_ref()[at..]);
        self.ahead = Cursor::new(bytes);
    }

    /// Skips to the next line. How many bytes the rest of this one had.
    pub fn skip_line(&mut self) -> io::Result<u64> {
        let mut rest = Vec::new();
        let mut skipped = 0;

        loop {
            rest.clear();
            let read = self.read_line(&mut rest, 1 << 16)?;
            if read == 0 {
                return Ok(skipped);
            }
            if rest.ends_with(b"\n") {
                return Ok(skipped + read as u64 - 1);
            }
            skipped += read as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;
    use crate::decode::NumberStyle;

    const CSV: Framing = Framing::Csv {
        style: CsvStyle {
            delimiter: b',',
            quote: Some(b'"'),
            numbers: NumberStyle { decimal: '.', thousands: None },
        },
        comment: None,
    };

    fn frames(bytes: &[u8], framing: Framing, chunk: usize) -> Vec<Vec<u8>> {
        let mut frames = Frames::new(BufReader::with_capacity(chunk, bytes), framing);
        std::iter::from_fn(|| frames.next_frame().unwrap()).map(|frame| frame.bytes).collect()
    }

    fn texts(text: &str, framing: Framing) -> Vec<String> {
        frames(text.as_bytes(), framing, 7)
            .into_iter()
            .map(|frame| String::from_utf8(frame).unwrap())
            .collect()
    }

    #[test]
    fn lines_end_at_newlines_and_blank_ones_are_no_records() {
        let expected = ["a", "\"b", " c"];
        assert_eq!(texts("\u{feff}a\r\n\n \t\r\n\"b\n c", Framing::Lines), expected);
        assert_eq!(texts("", Framing::Lines), [""; 0]);
        assert_eq!(texts("\n\n", Framing::Lines), [""; 0]);
    }

    #[test]
    fn a_csv_record_goes_on_inside_quotes() {
        let text = "a,\"x\ny\"\nb,5\" pipe\n\"he said \"\"\nhi\"\"\",c\nd,\"open\n";
        let expected = ["a,\"x\ny\"", "b,5\" pipe", "\"he said \"\"\nhi\"\"\",c", "d,\"open"];
        assert_eq!(texts(text, CSV), expected);
    }

    /// Found by: users' cases. The quote of `"3in pipe` took the 989 rows after it.
    #[test]
    fn a_quote_that_nothing_closes_costs_its_own_line() {
        for (text, expected) in [
            ("a,\"3in\nb,1\nc,2\n", vec!["a,\"3in", "b,1", "c,2"]),
            ("a,\"3in\nb,\"4in\nc,\"x\ny\"\nd", vec!["a,\"3in", "b,\"4in", "c,\"x\ny\"", "d"]),
            ("a,\"x\ny\"z,1\nb\n", vec!["a,\"x", "y\"z,1", "b"]),
            ("\"\n\"a\n\"\n", vec!["\"", "\"a\n\""]),
        ] {
            assert_eq!(texts(text, CSV), expected);
        }
        let long = format!("a,\"open\n{}", "b,1\n".repeat(MAX_RECORD_BYTES / 2));
        let records = texts(&long, CSV);
        assert_eq!((records.len(), records[0].as_str()), (1 + MAX_RECORD_BYTES / 2, "a,\"open"));
        assert!(records[1..].iter().all(|record| record == "b,1"));
    }

    #[test]
    fn a_record_that_is_too_large_is_cut_and_the_next_one_is_found() {
        let full = "x".repeat(MAX_RECORD_BYTES);
        let text = format!("{full}\r\n{full}y\n{full}yyyyyyyy\n\"{full}\n{full}\nlast");
        let sizes = |framing| texts(&text, framing).iter().map(String::len).collect::<Vec<_>>();
        let (all, cut) = (MAX_RECORD_BYTES, MAX_RECORD_BYTES + 1);
        assert_eq!(sizes(Framing::Lines), [all, cut, cut, cut, all, 4]);
        assert_eq!(sizes(CSV), [all, cut, cut, cut, all, 4]);

        let mut frames = Frames::new(text.as_bytes(), Framing::Lines);
        let had = std::iter::from_fn(|| frames.next_frame().unwrap()).map(|frame| frame.cut_from);
        let long = Some(all as u64 + 8);
        assert_eq!(had.collect::<Vec<_>>(), [None, None, long, None, None, None]);
    }

    proptest! {
        #[test]
        fn any_chunks_give_the_same_records(bytes in "[a\",\n\r ]{0,60}", chunk in 1_usize..20) {
            for framing in [Framing::Lines, CSV] {
                let whole = frames(bytes.as_bytes(), framing, 4096);
                prop_assert_eq!(&frames(bytes.as_bytes(), framing, chunk), &whole);
                let kept: usize = whole.iter().map(Vec::len).sum();
                prop_assert!(kept <= bytes.len());
            }
        }

        #[test]
        fn random_bytes_are_framed(bytes in proptest::collection::vec(any::<u8>(), 0..200), chunk in 1_usize..20) {
            for framing in [Framing::Lines, CSV] {
                frames(&bytes, framing, chunk);
            }
        }
    }
}
