//! `--sweep key=a,b,c`: a setting of the pipeline file with several values, and the cross product
//! of such.
//! It must not know which keys are valid: each is set by `--set`, which says.

use std::str::FromStr;

use indexmap::IndexMap;

/// One value for each swept key.
pub type Setting = IndexMap<String, String>;

/// One key and its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// Its path in the pipeline file.
    pub key: String,
    /// What it is set to, one after the other.
    pub values: Vec<String>,
}

impl FromStr for Sweep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let how = "write it like forecast.model.hidden=16,32,64";
        let (key, values) = text.split_once('=').ok_or(how)?;
        let values = split(values);
        if key.is_empty() || values.iter().any(String::is_empty) {
            return Err(how.to_owned());
        }
        Ok(Sweep { key: key.to_owned(), values })
    }
}

/// Splits at the commas outside of brackets, braces and quotes.
fn split(text: &str) -> Vec<String> {
    let mut values = vec![String::new()];
    let (mut depth, mut quote) = (0usize, None);
    let mut characters = text.chars();

    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, ',') if depth == 0 => {
                values.push(String::new());
                continue;
            }
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth = depth.saturating_sub(1),
            // An apostrophe within a word is none of YAML's quotes.
            (None, '"' | '\'') if is_open(&values) => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            _ => {}
        }

        if let Some(value) = values.last_mut() {
            value.push(character);
            // In YAML's double quotes a backslash takes the next character with it.
            if quote == Some('"') && character == '\\' {
                value.extend(characters.next());
            }
        }
    }

    values.into_iter().map(|value| value.trim().to_owned()).collect()
}

/// Whether a quote may begin here: at the start of a value, or of an entry within one.
fn is_open(values: &[String]) -> bool {
    let before = values.last().map_or("", |value| value.trim_end());
    before.is_empty() || before.ends_with([',', '[', '{', ':'])
}

/// Every combination of one value a key, the last key's changing fastest; of no keys: one that sets
/// nothing.
pub fn combinations(sweeps: &[Sweep]) -> Vec<Setting> {
    sweeps.iter().fold(vec![Setting::new()], |combinations, sweep| {
        let with = |settings: &Setting, value: &String| {
            let mut settings = settings.clone();
            settings.insert(sweep.key.clone(), value.clone());
            settings
        };
        combinations
            .iter()
            .flat_map(|settings| sweep.values.iter().map(move |value| with(settings, value)))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commas_split_at_the_top_level_alone() {
        let values = |text: &str| text.parse::<Sweep>().unwrap().values;
        assert_eq!(values("k=1,2, 3"), ["1", "2", "3"]);
        assert_eq!(values("k=[1, 6],[1,24]"), ["[1, 6]", "[1,24]"]);
        assert_eq!(
            values("k={adam: {lr: 1e-3, x: [1,2]}},{sgd: {}}"),
            ["{adam: {lr: 1e-3, x: [1,2]}}", "{sgd: {}}"]
        );
        assert_eq!(values(r#"k="a,b",'c,d',e"#), [r#""a,b""#, "'c,d'", "e"]);
        assert_eq!(values(r#"k="a\",b",["x]",2],don't,y"#), [r#""a\",b""#, r#"["x]",2]"#, "don't", "y"]);
        assert_eq!(values("k=a=b,c").len(), 2);
    }

    #[test]
    fn a_sweep_without_a_key_or_a_value_is_none() {
        for text in ["", "k", "=1", "k=", "k=1,", "k=,1"] {
            assert!(text.parse::<Sweep>().unwrap_err().contains("hidden=16"), "{text}");
        }
    }

    #[test]
    fn the_cross_product_has_every_combination_once() {
        let sweeps = ["a=1,2", "b=x,y,z"].map(|text| text.parse().unwrap());
        let all: Vec<String> = combinations(&sweeps)
            .iter()
            .map(|settings| settings.iter().map(|(key, value)| format!("{key}{value}")).collect())
            .collect();
        assert_eq!(all, ["a1bx", "a1by", "a1bz", "a2bx", "a2by", "a2bz"]);
        assert_eq!(combinations(&[]), [Setting::new()]);
    }

    proptest! {
        #[test]
        fn any_text_splits_and_plain_values_come_back(text in ".*", plain in prop::collection::vec("[a-z0-9.]{1,6}", 1..6)) {
            let _ = text.parse::<Sweep>();
            let sweep: Sweep = format!("k={}", plain.join(",")).parse().unwrap();
            prop_assert_eq!(sweep.values, plain);
        }
    }
}
