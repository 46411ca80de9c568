//! How numbers are written where it is not `1234.5`: `1.234,5` or `1 234,5`.
//! It must not know what a number is used for.

use std::borrow::Cow;

use serde::Serialize;

/// The marks in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NumberStyle {
    /// Between whole and fraction.
    pub decimal: char,
    /// Between groups of three digits; none: there are no groups.
    pub thousands: Option<char>,
}

impl Default for NumberStyle {
    fn default() -> Self {
        NumberStyle { decimal: '.', thousands: None }
    }
}

impl NumberStyle {
    /// Whether numbers are written as `1234.5`.
    pub fn is_usual(self) -> bool {
        self == NumberStyle::default()
    }

    /// The number as `1234.5`; none where it is not written in this style.
    pub(super) fn plain(self, text: &str) -> Option<Cow<'_, str>> {
        let text = text.trim();
        if self.is_usual() {
            return Some(Cow::Borrowed(text));
        }

        let (whole, fraction) = match text.split_once(self.decimal) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        if self.decimal != '.' && text.contains('.') && self.thousands != Some('.') {
            return None;
        }
        let whole = self.joined(whole)?;
        Some(match fraction {
            Some(fraction) => Cow::Owned(format!("{whole}.{fraction}")),
            None => whole,
        })
    }

    /// The whole part without marks; none where they do not stand between groups of three digits.
    fn joined(self, whole: &str) -> Option<Cow<'_, str>> {
        let Some(mark) = self.thousands.filter(|mark| whole.contains(*mark)) else {
            return Some(Cow::Borrowed(whole));
        };
        let is_digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
        let mut groups = whole.split(mark);
        let first = groups.next()?.trim_start_matches(['+', '-']);
        if !(1..=3).contains(&first.len()) || !is_digits(first) {
            return None;
        }
        if !groups.all(|group| group.len() == 3 && is_digits(group)) {
            return None;
        }

        Some(Cow::Owned(whole.replace(mark, "")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_where_they_belong() {
        let style = |decimal, thousands| NumberStyle { decimal, thousands };
        for (style, text, plain) in [
            (style('.', None), " 1.5 ", Some("1.5")),
            (style(',', None), "-0,25", Some("-0.25")),
            (style(',', None), "1.5", None),
            (style(',', None), "1e3", Some("1e3")),
            (style(',', Some('.')), "1.234.567,5", Some("1234567.5")),
            (style(',', Some('.')), "-1.234", Some("-1234")),
            (style(',', Some('.')), "1.5", None),
            (style(',', Some('.')), "12345,5", Some("12345.5")),
            (style('.', Some(',')), "1,234.5", Some("1234.5")),
            (style('.', Some(',')), "1,23", None),
            (style('.', Some(' ')), "12 345", Some("12345")),
        ] {
            assert_eq!(style.plain(text).as_deref(), plain, "{text}");
        }
    }
}
