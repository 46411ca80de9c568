//! A CSV file before its records: its characters, the style of its fields, and the names of its
//! columns.
//! It must not decode a record.

use std::io::{self, BufReader, Cursor, Read};

use encoding_rs_io::DecodeReaderBytesBuilder;
use tickcast_stream::error::{Error, Kind, OrFail, Result};

use super::compressed::READ_BYTES;
use super::csv_sample::{CsvSample, fields};
use super::frames::{Frames, Framing};
use crate::decode::{CsvHeader, CsvSpec, CsvStyle, NumberStyle};

/// Bytes of a file that are looked at to find how it is written.
const SAMPLE_BYTES: usize = 64 << 10;
/// What text in UTF-16 begins with.
const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// Bytes of a source of text.
pub(super) type Bytes = Box<dyn Read + Send>;

/// A CSV file whose next frame is its first record.
pub(super) struct CsvFile {
    pub(super) frames: Frames<BufReader<Bytes>>,
    /// The names of its columns; none for an empty file.
    pub(super) header: Option<Vec<String>>,
    pub(super) style: CsvStyle,
}

impl CsvFile {
    /// Errors: `Source`, when the header is none that can be read. What is found of how it is
    /// written is logged; of a file that is `live` only its first line is looked at.
    pub(super) fn open(
        bytes: Bytes,
        (name, spec): (&str, &CsvSpec),
        (is_live, whole_only): (bool, bool),
    ) -> Result<Self> {
        let unreadable = || format!("cannot read the beginning of {name}");
        let (start, bytes) = sampled(bytes, SAMPLE_BYTES, is_live).or_fail(Kind::Source, unreadable)?;
        let is_wide = spec.encoding.is_none() && UTF_16.iter().any(|mark| start.starts_with(mark));
        let (start, bytes) = if is_wide || spec.encoding.is_some() {
            let text = DecodeReaderBytesBuilder::new().encoding(spec.encoding).build(bytes);
            sampled(Box::new(text), SAMPLE_BYTES, is_live).or_fail(Kind::Source, unreadable)?
        } else {
            (start, bytes)
        };

        let whole = start.iter().rposition(|byte| *byte == b'\n').map_or(start.len(), |end| end + 1);
        let text = String::from_utf8_lossy(&start[..whole]);
        let sample = CsvSample::new(text.trim_start_matches('\u{feff}'), spec);
        let style = sample.style(spec);
        tell(name, spec, style);
        if spec.header == CsvHeader::Unsaid && sample.begins_with_numbers(style) {
            let what = format!(
                "{name} has no header, it seems: its first row is `{}`. Name its columns by source.csv.header: [a, b, …], \
                 or say header: true",
                sample.first()
            );
            return Err(Error::new(Kind::Source, what));
        }

        let reader = BufReader::with_capacity(READ_BYTES, bytes);
        let mut frames = Frames::new(reader, Framing::Lines);
        for _ in 0..spec.skip {
            frames.skip_line().or_fail(Kind::Source, unreadable)?;
        }
        let framing = Framing::Csv { style, comment: spec.comment };
        let mut frames = frames.framed(framing).whole_only(whole_only);
        let header = match sample.names(spec, style) {
            Some(names) => Some(names),
            None => {
                let row = frames.next_frame().or_fail(Kind::Source, unreadable)?;
                row.map(|row| column_names(&row.bytes, name, style)).transpose()?
            }
        };
        Ok(CsvFile { frames, header, style })
    }
}

/// The first bytes, and all of them again; of a source that is `live`, up to the first line's end.
fn sampled(mut bytes: Bytes, most: usize, is_live: bool) -> io::Result<(Vec<u8>, Bytes)> {
    let mut start = Vec::new();
    let mut chunk = [0; 4096];
    while start.len() < most && !(is_live && start.contains(&b'\n')) {
        let read = bytes.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        start.extend_from_slice(&chunk[..read]);
    }
    // What came behind the first line is chance.
    let seen = match start.iter().position(|byte| *byte == b'\n').filter(|_| is_live) {
        Some(end) => start[..=end].to_vec(),
        None => start.clone(),
    };

    Ok((seen, Box::new(Cursor::new(start).chain(bytes))))
}

/// Says what was found, where it is not the usual.
fn tell(name: &str, spec: &CsvSpec, style: CsvStyle) {
    let mut found = Vec::new();
    if spec.delimiter.is_none() && style.delimiter != CsvStyle::default().delimiter {
        found.push(format!("fields are separated by `{}`", char::from(style.delimiter).escape_default()));
    }
    let NumberStyle { decimal, thousands } = style.numbers;
    if spec.decimal.is_none() && decimal == ',' {
        found.push("numbers have a decimal comma".to_owned());
    }
    if spec.thousands.is_none() && thousands.is_some() {
        found.push("points stand between groups of digits".to_owned());
    }

    if !found.is_empty() {
        tracing::info!("{name}: {}; source.csv can say otherwise", found.join(", "));
    }
}

fn column_names(row: &[u8], name: &str, style: CsvStyle) -> Result<Vec<String>> {
    let refuse = |why: String| Err(Error::new(Kind::Source, format!("the header of {name} {why}")));
    let text = match std::str::from_utf8(row) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            return refuse(format!(
                "is not UTF-8 at byte {at}: say how its characters are written, as in source.csv.encoding: latin1"
            ));
        }
    };
    if row.contains(&b'\r') {
        return refuse("has line ends of old Macs: convert the file, as with `tr '\\r' '\\n'`".to_owned());
    }

    Ok(fields(text, style).iter().map(|field| field.trim().to_owned()).collect())
}
