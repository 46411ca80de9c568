//! Patterns of names: `*`, `?` and `[…]`, within one directory's name or one file's.
//! It must not look for files.

/// Whether a name or path has a mark of a pattern.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether a name is one of a pattern: `*` stands for any text, `?` for any character, and `[a-c]`
/// for one of these, `[!a-c]` for one of all others. A `[` that nothing closes is itself.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut read) = (0, 0);
    // The last star, and what of the name was behind it then.
    let mut star: Option<(usize, usize)> = None;

    while read < name.len() {
        match step(&pattern[at..], name[read]) {
            Step::Star => {
                star = Some((at, read));
                at += 1;
            }
            Step::One(length) => (at, read) = (at + length, read + 1),
            Step::Not => {
                let Some((star_at, from)) = star else { return false };
                star = Some((star_at, from + 1));
                (at, read) = (star_at + 1, from + 1);
            }
        }
    }
    pattern[at..].iter().all(|mark| *mark == '*')
}

/// What the next mark of a pattern makes of a character.
enum Step {
    Star,
    /// It stands for it, and has so many characters itself.
    One(usize),
    Not,
}

fn step(pattern: &[char], letter: char) -> Step {
    match pattern {
        ['*', ..] => Step::Star,
        ['?', ..] => Step::One(1),
        ['[', set @ ..] => match set.iter().skip(1).position(|mark| *mark == ']') {
            Some(end) => {
                let set = &set[..=end];
                if is_in(set, letter) { Step::One(set.len() + 2) } else { Step::Not }
            }
            None if letter == '[' => Step::One(1),
            None => Step::Not,
        },
        [mark, ..] if *mark == letter => Step::One(1),
        _ => Step::Not,
    }
}

fn is_in(set: &[char], letter: char) -> bool {
    let (is_negated, mut rest) = match set {
        ['!', rest @ ..] if !rest.is_empty() => (true, rest),
        rest => (false, rest),
    };

    let mut found = false;
    while let [first, others @ ..] = rest {
        if let ['-', last, others @ ..] = others {
            found |= (*first..=*last).contains(&letter);
            rest = others;
        } else {
            found |= *first == letter;
            rest = others;
        }
    }

    found != is_negated
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_patterns() {
        for (pattern, name, is_one) in [
            ("*.csv", "a.csv", true),
            ("*.csv", ".csv", true),
            ("*.csv", "a.csv.gz", false),
            ("*.csv*", "a.csv.gz", true),
            ("2024-??.csv", "2024-07.csv", true),
            ("2024-??.csv", "2024-7.csv", false),
            ("a[0-3x].csv", "a2.csv", true),
            ("a[0-3x].csv", "ax.csv", true),
            ("a[!0-3].csv", "a2.csv", false),
            ("a[!0-3].csv", "a9.csv", true),
            ("a[]].csv", "a].csv", true),
            ("a[.csv", "a[.csv", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("*", "", true),
            ("", "", true),
            ("?", "ä", true),
        ] {
            assert_eq!(matches(pattern, name), is_one, "{pattern} {name}");
        }
        assert!(is_pattern("d/*.csv") && !is_pattern("d/x.csv"));
    }

    proptest! {
        #[test]
        fn any_pattern_ends_and_a_name_is_of_itself(pattern in "[*?a!b\\[\\]-]{0,12}", name in "[ab]{0,30}") {
            let _ = matches(&pattern, &name);
            prop_assert!(matches(&name, &name));
            let starred = format!("*{name}*");
            prop_assert!(matches(&starred, &name));
        }
    }
}
