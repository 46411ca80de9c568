//! Text of others, fit for a terminal.
//! It must not know where the text is from.

use std::borrow::Cow;

/// The text with each control character, and each one that turns the direction of writing, as its
/// escape, like `\\u{1b}`; those in `kept` stay.
pub fn printable<'a>(text: &'a str, kept: &[char]) -> Cow<'a, str> {
    let is_escaped = |c: char| steers(c) && !kept.contains(&c);
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }

    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_escaped(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// Whether a terminal does something else with it than show it.
pub fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F18: a series with an escape sequence as its name steered the terminal. Found by hostile
    /// testing.
    #[test]
    fn what_steers_a_terminal_is_escaped_and_all_else_stays() {
        let shown = |text| printable(text, &['\n']).into_owned();
        assert_eq!(shown("\x1b[31mred\u{9b}2J\r\x07"), r"\u{1b}[31mred\u{9b}2J\r\u{7}");
        assert_eq!(shown("a\u{202e}b"), r"a\u{202e}b");
        assert_eq!(shown("Zürich °C\n東京"), "Zürich °C\n東京");
    }
}
