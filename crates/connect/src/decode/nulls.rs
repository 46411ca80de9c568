//! The words that stand for no value, as `NA` does.
//! It must not know which columns they are looked for in.

use std::fmt;

use serde::{Serialize, Serializer};

/// The words of a pipeline that names none.
const USUAL: [&str; 10] = ["", "na", "n/a", "#n/a", "nan", "null", "none", "-", "?", "\\N"];

/// Words that stand for no value. Blanks around them and the case of their letters do not matter.
#[derive(Clone, PartialEq, Eq)]
pub struct Nulls {
    words: Vec<String>,
    /// They are the pipeline's own: texts are compared with them too.
    are_given: bool,
    /// For every byte whether a text that begins with it may be one of the words.
    may_begin: [bool; 256],
}

impl fmt::Debug for Nulls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.words).finish()
    }
}

impl Serialize for Nulls {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.words.serialize(serializer)
    }
}

impl Default for Nulls {
    fn default() -> Self {
        Nulls::of(USUAL.map(String::from).to_vec(), false)
    }
}

impl Nulls {
    /// These words, in columns of every type. The usual ones are only looked for where a text could
    /// not be a value: a country may be called `NA`.
    pub fn new(words: Vec<String>) -> Self {
        Nulls::of(words.iter().map(|word| word.trim().to_owned()).collect(), true)
    }

    fn of(words: Vec<String>, are_given: bool) -> Self {
        let mut may_begin = [false; 256];
        for byte in words.iter().filter_map(|word| word.bytes().next()) {
            may_begin[usize::from(byte.to_ascii_lowercase())] = true;
            may_begin[usize::from(byte.to_ascii_uppercase())] = true;
        }
        // What a text of more than one byte a letter is trimmed of may come first.
        (0..=b' ').chain(0x80..=0xff).for_each(|byte| may_begin[usize::from(byte)] = true);
        Nulls { words, are_given, may_begin }
    }

    /// Whether texts are compared with the words too.
    pub(super) fn hold_for_text(&self) -> bool {
        self.are_given
    }

    /// Whether a text stands for no value.
    #[inline]
    pub(super) fn has(&self, text: &str) -> bool {
        // Most values are numbers, and few words begin as one does.
        match text.as_bytes().first() {
            Some(byte) if !self.may_begin[usize::from(*byte)] => false,
            _ => self.has_trimmed(text.trim()),
        }
    }

    fn has_trimmed(&self, text: &str) -> bool {
        self.words.iter().any(|word| word.len() == text.len() && text.eq_ignore_ascii_case(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_words_stand_for_no_value_however_they_are_written() {
        let nulls = Nulls::default();
        for word in ["", " ", "NA", "N/A", "nan", "NULL", "None", " - ", "?", "#N/A", "\\N"] {
            assert!(nulls.has(word), "{word}");
        }
        for value in ["0", "-1", "nanny", "--", "not", "12%"] {
            assert!(!nulls.has(value), "{value}");
        }
    }

    #[test]
    fn words_of_the_pipeline_stand_in_their_place() {
        let nulls = Nulls::new(vec!["-999".into(), "kaputt".into()]);
        assert!(nulls.has("-999") && nulls.has("KAPUTT") && !nulls.has("NA") && !nulls.has("-9"));
        assert!(nulls.hold_for_text() && !Nulls::default().hold_for_text());
    }
}
