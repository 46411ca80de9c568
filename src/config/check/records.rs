//! Checks how records are written and what becomes rows of them: `csv`, `nulls`, `unnest` and
//! `melt`.
//! It must not open files.

use tickcast_connect::{CsvHeader, CsvSpec, Melt, Nulls, SeriesKey, Shape, csv_encoding};

use super::Checker;
use crate::config::fault::quoted;
use crate::config::raw::{OneOrMore, RawCsv, RawHeader, RawMelt, Word};

/// Columns of a key, at most.
const KEY_MAX: usize = 16;
/// Columns that become rows, at most.
const MELTED_MAX: usize = 10_000;

impl Checker<'_> {
    /// What names a series; `default`: its column where the file says nothing, and `name` the
    /// series of all records.
    pub fn key(&mut self, raw: Option<OneOrMore>, default: Option<&str>, name: &str) -> SeriesKey {
        let one = || SeriesKey::One { series: name.to_owned() };
        let columns = match raw {
            None if self.broken.contains("key") => return one(),
            None => match default {
                Some(column) => vec![column.to_owned()],
                None => return one(),
            },
            Some(OneOrMore::One(word)) if word == "none" => return one(),
            Some(OneOrMore::One(column)) => vec![column],
            Some(OneOrMore::More(columns)) => columns,
        };
        self.not_empty("key", &columns);
        self.not_longer("key", &columns, KEY_MAX);
        self.distinct("key", &columns);
        if columns.iter().any(String::is_empty) {
            self.fault_with_help("key", "missing", "the column that names a record's series, or none");
        }

        SeriesKey::Columns(columns)
    }

    /// How CSV is written.
    pub fn csv(&mut self, raw: Option<RawCsv>) -> CsvSpec {
        let Some(raw) = raw else { return CsvSpec::default() };
        let header = match raw.header {
            None => CsvHeader::Unsaid,
            Some(RawHeader::Is(true)) => CsvHeader::Row,
            Some(RawHeader::Is(false)) => CsvHeader::Absent,
            Some(RawHeader::Names(names)) => {
                self.not_empty("source.csv.header", &names);
                CsvHeader::Names(names)
            }
        };
        let encoding = raw.encoding.as_deref().and_then(|name| {
            let encoding = csv_encoding(name);
            if encoding.is_none() {
                let help = "names are utf-8, latin1, windows-1252, utf-16le and others of the WHATWG";
                let message = format!("no encoding {}", quoted(name));
                self.fault_with_help("source.csv.encoding", message, help);
            }
            encoding
        });

        let delimiter = raw.delimiter.and_then(|text| self.mark("delimiter", &text));
        let quote = raw.quote.map(|text| if text.is_empty() { None } else { self.mark("quote", &text) });
        let decimal = raw.decimal.and_then(|text| self.number_mark("decimal", &text));
        let thousands = raw.thousands.and_then(|text| self.number_mark("thousands", &text));
        if thousands.is_some() && thousands == Some(decimal.unwrap_or('.')) {
            self.fault("source.csv.thousands", "is the mark before a fraction already");
        }
        if delimiter.is_some() && Some(delimiter) == quote {
            self.fault("source.csv.quote", "is the delimiter already");
        }
        CsvSpec {
            delimiter,
            quote,
            decimal,
            thousands,
            header,
            skip: raw.skip.map_or(0, |skip| skip.0 as u32),
            comment: raw.comment.and_then(|text| self.mark("comment", &text)),
            encoding,
        }
    }

    /// A character of ASCII that is in no number and ends no line.
    fn mark(&mut self, key: &str, text: &str) -> Option<u8> {
        match text.as_bytes() {
            [byte]
                if byte.is_ascii()
                    && !byte.is_ascii_alphanumeric()
                    && !matches!(byte, b'\r' | b'\n' | b'-') =>
            {
                Some(*byte)
            }
            _ => {
                let path = format!("source.csv.{key}");
                self.fault(&path, format!("needs one character of ASCII, not {}", quoted(text)));
                None
            }
        }
    }

    /// A character that may stand in a number.
    fn number_mark(&mut self, key: &str, text: &str) -> Option<char> {
        let mut letters = text.chars();
        match (letters.next(), letters.next()) {
            (Some(mark), None) if !mark.is_alphanumeric() && !matches!(mark, '-' | '+' | '\r' | '\n') => {
                Some(mark)
            }
            _ => {
                let path = format!("source.csv.{key}");
                self.fault(&path, format!("needs one character that is in no number, not {}", quoted(text)));
                None
            }
        }
    }

    /// The words that stand for no value.
    pub fn nulls(&mut self, raw: Option<Vec<Word>>) -> Nulls {
        match raw {
            None => Nulls::default(),
            Some(words) => Nulls::new(words.into_iter().map(|word| word.0).collect()),
        }
    }

    /// What becomes rows of a record.
    pub fn shape(&mut self, unnest: Option<String>, melt: Option<RawMelt>) -> Shape {
        if unnest.as_deref() == Some("") {
            self.fault_with_help("source.unnest", "missing", "the path of the list, like payload.readings");
        }
        Shape { unnest, melt: melt.map(|melt| self.melt(melt)), ..Shape::default() }
    }

    fn melt(&mut self, raw: RawMelt) -> Melt {
        let path = "source.melt.columns";
        if let Some(columns) = &raw.columns {
            self.not_empty(path, columns);
        }
        let columns = self.required(raw.columns, path, "the columns that become rows");
        self.not_longer(path, &columns, MELTED_MAX);
        self.distinct(path, &columns);

        let name = raw.name.unwrap_or_else(|| "name".to_owned());
        let value = raw.value.unwrap_or_else(|| "value".to_owned());
        if name == value {
            self.fault("source.melt.value", format!("{} is the column of names already", quoted(&value)));
        }
        for (key, column) in [("name", &name), ("value", &value)] {
            if columns.contains(column) {
                let message = format!("{} is one of the columns that become rows", quoted(column));
                self.fault(&format!("source.melt.{key}"), message);
            }
        }
        Melt { columns, name, value }
    }
}
