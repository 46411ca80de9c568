//! How CSV is written: what separates fields, encloses them, and marks numbers.
//! It must not know where the text comes from.

use serde::Serialize;

use super::number_style::NumberStyle;

/// How the fields of CSV records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CsvStyle {
    /// Stands between fields.
    pub delimiter: u8,
    /// Encloses fields; none: no character does.
    pub quote: Option<u8>,
    /// How numbers are written.
    pub numbers: NumberStyle,
}

impl Default for CsvStyle {
    fn default() -> Self {
        CsvStyle { delimiter: b',', quote: Some(b'"'), numbers: NumberStyle::default() }
    }
}
