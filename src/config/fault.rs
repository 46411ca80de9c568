//! Faults of a pipeline file: where, what, and what to write instead; every one of them at once.
//! It must not know YAML, serde or the keys of the file.

use std::collections::BTreeMap;
use std::fmt;

use tickcast_stream::error::{Error, Kind};

/// One fault. A `line` of 0 means that it has no place in the file: a `--set`, or a file that
/// cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// Keys joined by dots: `forecast.horizons[2]`; empty for the file as a whole.
    pub path: String,
    /// What is wrong, on one line.
    pub message: String,
    /// What would be right, where that can be said.
    pub help: Option<String>,
    /// The file's name, or `--set`.
    pub file: String,
}

impl fmt::Display for Fault {
    /// `weather.yaml:7:3: window.lateness: invalid duration "10 bananas" (write it like 10m)`,
    /// always one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.file.clone();
        if self.line > 0 {
            text += &format!(":{}:{}", self.line, self.column);
        }
        if !self.path.is_empty() {
            text += &format!(": {}", self.path);
        }
        text += &format!(": {}", self.message);
        if let Some(help) = &self.help {
            text += &format!(" ({help})");
        }

        // Keys and words of the file may hold line breaks and terminal escapes.
        for character in text.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

/// Every fault of one file, by line and column.
#[derive(Debug)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    pub(super) fn sorted(mut faults: Vec<Fault>) -> Self {
        faults.sort();
        faults.dedup();
        Faults(faults)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, fault) in self.0.iter().enumerate() {
            let line_break = if nth > 0 { "\n" } else { "" };
            write!(f, "{line_break}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl From<Faults> for Error {
    fn from(faults: Faults) -> Error {
        Error::new(Kind::Config, faults.to_string())
    }
}

/// Where each path of the file stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    pub file: String,
    /// Dotted path -> line and column; line 0 is the command line.
    pub positions: BTreeMap<String, (usize, usize)>,
}

impl Places {
    /// A fault at `path`, or, when the file does not have it, at its nearest parent.
    pub fn fault(&self, path: &str, message: impl Into<String>, help: Option<String>) -> Fault {
        let mut known = path;
        let (line, column) = loop {
            match self.positions.get(known) {
                Some(&position) => break position,
                None if known.is_empty() => break (1, 1),
                None => known = &known[..known.rfind(['.', '[']).unwrap_or(0)],
            }
        };
        let file = if line == 0 { "--set".to_string() } else { self.file.clone() };
        Fault { line, column, path: path.to_string(), message: message.into(), help, file }
    }
}

/// ` did you mean "horizons"?`, or the whole choice when no word is near.
pub(super) fn choice(word: &str, options: &[&str]) -> (String, Option<String>) {
    // 0.8 forgives two slips in a usual key, and does not take `file` for `time`.
    let near = options
        .iter()
        .map(|option| (strsim::jaro_winkler(word, option), option))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let all =
        format!("valid here: {}", if options.is_empty() { "nothing".into() } else { options.join(", ") });
    match near {
        Some((_, option)) => (format!("; did you mean \"{option}\"?"), None),
        None => (String::new(), Some(all)),
    }
}

/// A word of the file as a fault shows it: quoted and not longer than a line.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("\"{}…\"", &text[..end]),
        None => format!("\"{text}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_one_line_whatever_the_key() {
        let places = Places { file: "a.yaml".into(), ..Places::default() };
        let fault = places.fault("x.y\nz", "unknown key", Some("drop it".into()));
        assert_eq!(fault.to_string(), r"a.yaml:1:1: x.y\nz: unknown key (drop it)");
    }

    #[test]
    fn a_missing_path_points_at_its_nearest_parent() {
        let positions =
            BTreeMap::from([("window".to_string(), (4, 1)), ("window.select".to_string(), (5, 3))]);
        let places = Places { file: "a.yaml".into(), positions };
        assert_eq!((5, 3), at(&places, "window.select.temp"));
        assert_eq!((4, 1), at(&places, "window.tumbling"));
        assert_eq!((1, 1), at(&places, "source"));
    }

    fn at(places: &Places, path: &str) -> (usize, usize) {
        let fault = places.fault(path, "m", None);
        (fault.line, fault.column)
    }

    #[test]
    fn only_a_near_word_is_offered() {
        assert_eq!(choice("horizon", &["season", "horizons"]).0, "; did you mean \"horizons\"?");
        assert_eq!(choice("file", &["time", "key"]).1.as_deref(), Some("valid here: time, key"));
    }
}
