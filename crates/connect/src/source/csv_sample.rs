//! The beginning of a CSV file, and how it is written, as far as the pipeline does not say it.
//! It must not read a file: it is given its beginning.

use arrow::csv::reader::Format;

use crate::decode::{CsvHeader, CsvSpec, CsvStyle, NumberStyle};

/// What may separate fields, where nothing is said.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Rows that are looked at.
const ROWS: usize = 100;

/// The first rows of a file, the header among them.
pub(super) struct CsvSample {
    lines: Vec<String>,
}

/// What the digits and marks of a field tell of how numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// `1.5`: a point before a fraction.
    Point,
    /// `1,5`: a comma before a fraction.
    Comma,
    /// `1.234,5`: points between groups, and a comma before a fraction.
    CommaAndGroups,
    /// `1,234`: a comma before a fraction, or between groups.
    Either,
    /// No mark tells anything.
    Nothing,
}

impl CsvSample {
    /// Of the whole lines of a text, which is cut behind them.
    pub(super) fn new(text: &str, spec: &CsvSpec) -> Self {
        let is_comment = |line: &&str| spec.comment.is_some() && line.bytes().next() == spec.comment;
        let lines = text.lines().skip(spec.skip as usize);
        let lines = lines.filter(|line| !line.trim().is_empty() && !is_comment(line)).take(ROWS);
        CsvSample { lines: lines.map(str::to_owned).collect() }
    }

    /// The style of the file: what the pipeline says, and what is found where it says nothing.
    pub(super) fn style(&self, spec: &CsvSpec) -> CsvStyle {
        let said = spec.style();
        let delimiter = spec.delimiter.unwrap_or_else(|| self.delimiter(said));
        let style = CsvStyle { delimiter, ..said };
        if spec.decimal.is_some() || spec.thousands.is_some() {
            return style;
        }
        CsvStyle { numbers: self.numbers(style), ..style }
    }

    /// The delimiter by which most rows have as many fields as the first, and then the most fields.
    fn delimiter(&self, style: CsvStyle) -> u8 {
        let score = |delimiter: u8| {
            let counts: Vec<usize> =
                self.lines.iter().map(|line| fields(line, CsvStyle { delimiter, ..style }).len()).collect();
            let first = counts.first().copied().filter(|count| *count > 1)?;
            let like_first = counts.iter().filter(|count| **count == first).count();
            // Rows that hold text with the mark in it may differ.
            Some((like_first * 10 / counts.len(), first))
        };
        let mut best = (None, CsvStyle::default().delimiter);
        for delimiter in DELIMITERS {
            let score = score(delimiter);
            if score > best.0 {
                best = (score, delimiter);
            }
        }

        best.1
    }

    /// How numbers are written: with a comma only where a field can be nothing else.
    fn numbers(&self, style: CsvStyle) -> NumberStyle {
        let found: Vec<Written> = self
            .lines
            .iter()
            .skip(1)
            .flat_map(|line| fields(line, style))
            .map(|field| written(field.trim()))
            .collect();
        let has = |wanted| found.contains(&wanted);
        let has_commas = has(Written::Comma) || has(Written::CommaAndGroups);
        if !has_commas || has(Written::Point) {
            return NumberStyle::default();
        }

        NumberStyle { decimal: ',', thousands: has(Written::CommaAndGroups).then_some('.') }
    }

    /// Whether the first row has numbers alone: it names nothing.
    pub(super) fn begins_with_numbers(&self, style: CsvStyle) -> bool {
        let Some(first) = self.lines.first() else { return false };
        fields(first, style).iter().all(|field| field.trim().parse::<f64>().is_ok())
    }

    /// The names of the columns where the pipeline says them, or that there are none.
    pub(super) fn names(&self, spec: &CsvSpec, style: CsvStyle) -> Option<Vec<String>> {
        match &spec.header {
            CsvHeader::Names(names) => Some(names.clone()),
            CsvHeader::Absent => {
                let count = self.lines.first().map_or(0, |line| fields(line, style).len());
                Some((1..=count).map(|nth| format!("column_{nth}")).collect())
            }
            CsvHeader::Unsaid | CsvHeader::Row => None,
        }
    }

    /// The first row.
    pub(super) fn first(&self) -> &str {
        self.lines.first().map_or("", String::as_str)
    }
}

/// The fields of a row; all of it, where it is no CSV.
pub(super) fn fields(line: &str, style: CsvStyle) -> Vec<String> {
    // Of no quote a byte that is in no text.
    let format = Format::default()
        .with_header(true)
        .with_delimiter(style.delimiter)
        .with_quote(style.quote.unwrap_or(0xff));
    match format.infer_schema(line.as_bytes(), Some(0)) {
        Ok((row, _)) => row.fields().iter().map(|field| field.name().clone()).collect(),
        Err(_) => vec![line.to_owned()],
    }
}

/// What a field tells of how numbers are written.
fn written(field: &str) -> Written {
    let digits = field.trim_start_matches(['+', '-']);
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_grouped = |text: &str, mark: char| {
        let mut groups = text.split(mark);
        let first = groups.next().unwrap_or_default();
        is_digits(first) && first.len() <= 3 && groups.all(|group| group.len() == 3 && is_digits(group))
    };

    match (digits.split_once(','), digits.split_once('.')) {
        (None, Some((whole, fraction))) if is_digits(fraction) && (whole.is_empty() || is_digits(whole)) => {
            if fraction.len() == 3 && is_grouped(digits, '.') {
                Written::Nothing
            } else {
                Written::Point
            }
        }
        (Some((whole, fraction)), None) if is_digits(fraction) && (whole.is_empty() || is_digits(whole)) => {
            if fraction.len() == 3 && is_grouped(digits, ',') {
                Written::Either
            } else {
                Written::Comma
            }
        }
        (Some((whole, fraction)), Some(_)) if is_digits(fraction) && is_grouped(whole, '.') => {
            Written::CommaAndGroups
        }
        _ => Written::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (char, char, Option<char>) {
        let spec = CsvSpec::default();
        let style = CsvSample::new(text, &spec).style(&spec);
        (char::from(style.delimiter), style.numbers.decimal, style.numbers.thousands)
    }

    #[test]
    fn the_delimiter_is_what_rows_agree_about() {
        for (text, delimiter) in [
            ("id,t,v\nm,1,2\n", ','),
            ("id;t;v\nm;1;2\n", ';'),
            ("id\tt\tv\nm\t1,5\t2,5\n", '\t'),
            ("id|t|v\n", '|'),
            ("id;note, long\nm;a,b,c\nm;d\n", ';'),
            ("id,note; long\nm,a;b;c\nm,d\n", ','),
            ("id;\"a,b,c,d\";v\nm;\"x,y\";1\n", ';'),
            ("v\n1\n2\n", ','),
            ("", ','),
        ] {
            assert_eq!(found(text).0, delimiter, "{text}");
        }
    }

    #[test]
    fn a_decimal_comma_is_taken_only_where_nothing_else_can_be_meant() {
        for (rows, numbers) in [
            ("m;0,5", (',', None)),
            ("m;-12,25", (',', None)),
            ("m;1.234,5\nm;2,5", (',', Some('.'))),
            ("m;1,234", ('.', None)),
            ("m;1,5\nm;1.25", ('.', None)),
            ("m;1.5", ('.', None)),
            ("m;1.234", ('.', None)),
            ("m;16,12,2006", ('.', None)),
            ("m;\"0,5\"", (',', None)),
        ] {
            let (_, decimal, thousands) = found(&format!("id;v\n{rows}\n"));
            assert_eq!((decimal, thousands), numbers, "{rows}");
        }
        assert_eq!(found("id,v\nm,\"0,5\"\n"), (',', ',', None));
    }

    /// Found by: reading the code once more. A quote within a name took the names after it.
    #[test]
    fn a_quote_within_a_field_is_a_part_of_it() {
        let style = CsvStyle::default();
        assert_eq!(fields("id,5\" pipe,v,w", style), ["id", "5\" pipe", "v", "w"]);
        assert_eq!(fields("id,\"a, \"\"b\"\"\",,v", style), ["id", "a, \"b\"", "", "v"]);
        let unquoted = CsvStyle { quote: None, ..style };
        assert_eq!(fields("\"a,b\",c", unquoted), ["\"a", "b\"", "c"]);
    }

    #[test]
    fn skipped_lines_and_comments_tell_nothing() {
        let spec = CsvSpec { skip: 2, comment: Some(b'#'), ..CsvSpec::default() };
        let sample = CsvSample::new("a,b,c,d\nx\n# c,d\nid;v\n# e\nm;1,5\n", &spec);
        assert_eq!((sample.first(), sample.style(&spec).delimiter), ("id;v", b';'));
    }

    #[test]
    fn a_first_row_of_numbers_names_nothing() {
        let begins = |text: &str| {
            let sample = CsvSample::new(text, &CsvSpec::default());
            sample.begins_with_numbers(CsvStyle::default())
        };
        assert!(begins("1735687800000,100.5,0\n") && !begins("id,2012,2013\n") && !begins(""));
        let absent = CsvSpec { header: CsvHeader::Absent, ..CsvSpec::default() };
        let names = CsvSample::new("1,\"a,b\",3\n", &absent).names(&absent, CsvStyle::default());
        assert_eq!(names.unwrap(), ["column_1", "column_2", "column_3"]);
    }
}
