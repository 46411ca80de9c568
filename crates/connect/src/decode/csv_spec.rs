//! What a pipeline says of how its CSV is written; what it does not say is found in the file.
//! It must not look into a file.

use encoding_rs::Encoding;

use super::csv_style::CsvStyle;
use super::number_style::NumberStyle;

/// How CSV is written, as far as the pipeline says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CsvSpec {
    /// Stands between fields.
    pub delimiter: Option<u8>,
    /// Encloses fields; the inner none: no character does.
    pub quote: Option<Option<u8>>,
    /// Between whole and fraction of a number.
    pub decimal: Option<char>,
    /// Between groups of three digits.
    pub thousands: Option<char>,
    /// Where the names of the columns are.
    pub header: CsvHeader,
    /// Lines of a file before its header, or before its first record.
    pub skip: u32,
    /// Lines of a file that begin so are passed over.
    pub comment: Option<u8>,
    /// How a file's characters are written; none: UTF-8, or UTF-16 with a byte order mark.
    pub encoding: Option<&'static Encoding>,
}

/// Where the names of CSV columns are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CsvHeader {
    /// In the first row, unless that is one of numbers alone.
    #[default]
    Unsaid,
    /// In the first row.
    Row,
    /// Nowhere: they are `column_1`, `column_2` and so on.
    Absent,
    /// Here, in their order.
    Names(Vec<String>),
}

impl CsvSpec {
    /// The style, with the usual in place of what is not said.
    pub fn style(&self) -> CsvStyle {
        let usual = CsvStyle::default();
        CsvStyle {
            delimiter: self.delimiter.unwrap_or(usual.delimiter),
            quote: self.quote.unwrap_or(usual.quote),
            numbers: NumberStyle {
                decimal: self.decimal.unwrap_or(usual.numbers.decimal),
                thousands: self.thousands,
            },
        }
    }

    /// The names of the columns, where the pipeline says them.
    pub fn names(&self) -> Option<Vec<String>> {
        match &self.header {
            CsvHeader::Names(names) => Some(names.clone()),
            _ => None,
        }
    }
}

/// The encoding of this name, as the WHATWG has it: `utf-8`, `latin1`, `windows-1252`, `utf-16le`.
pub fn csv_encoding(name: &str) -> Option<&'static Encoding> {
    Encoding::for_label(name.trim().as_bytes())
}
