//! Environment variables in parsed scalars: `${VAR}`, `${VAR:-default}`, `${VAR:?message}`; `$${`
//! is a literal `${`.
//! It must not know raw text (a variable can never add a key) nor types (plain scalars get theirs
//! after this).

use super::fault::Fault;
use super::tree::{Node, Value};

/// Looks a variable up.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Fills every scalar below `node`.
pub(super) fn fill(node: &mut Node, env: Env, faults: &mut Vec<Fault>) {
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| fill(item, env, faults)),
        Value::Map(entries) => entries.iter_mut().for_each(|(_, value)| fill(value, env, faults)),
        Value::Scalar { text, .. } => match filled(text, env) {
            Ok(filled) => *text = filled,
            Err(message) => {
                // `pa${ss}word` may be a password by accident: only a scalar that is one reference
                // is quoted.
                let is_reference = text.starts_with("${") && text.find('}') == Some(text.len() - 1);
                let hidden = node.is_secret() && !is_reference;
                let message =
                    if hidden { "a ${VAR} in it is malformed or not set".to_string() } else { message };
                faults.push(
                    node.place.fault(message, Some("write $${ for a literal ${".into()).filter(|_| hidden)),
                );
            }
        },
    }
}

fn filled(text: &str, env: Env) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            out.push_str(&rest[..start - 1]);
            out.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }

        out.push_str(&rest[..start]);
        let inner = &rest[start + 2..];
        let end = inner.find('}').ok_or("a \"${\" without its \"}\"")?;
        out.push_str(&variable(&inner[..end], env)?);
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// As in a shell, `:-` and `:?` take an empty variable for an unset one.
fn variable(reference: &str, env: Env) -> Result<String, String> {
    let name_end =
        reference.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(reference.len());
    let (name, rest) = reference.split_at(name_end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || rest.contains("${") {
        return Err("write ${VAR}, ${VAR:-default} or ${VAR:?message}".into());
    }

    let value = env(name);
    let not_empty = value.clone().filter(|value| !value.is_empty());
    if rest.is_empty() {
        value.ok_or_else(|| format!("the environment variable {name} is not set"))
    } else if let Some(default) = rest.strip_prefix(":-") {
        Ok(not_empty.unwrap_or_else(|| default.to_string()))
    } else if let Some(message) = rest.strip_prefix(":?") {
        not_empty.ok_or_else(|| format!("the environment variable {name} is not set: {message}"))
    } else {
        Err("write ${VAR}, ${VAR:-default} or ${VAR:?message}".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill_text(text: &str) -> Result<String, String> {
        filled(text, &|name| match name {
            "HOST" => Some("kafka".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn variables_defaults_and_escapes() {
        let cases = [
            ("plain $HOST $$ $", "plain $HOST $$ $"),
            ("${HOST}:9092", "kafka:9092"),
            ("${HOST},${HOST}", "kafka,kafka"),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("${NONE:-localhost:9092}", "localhost:9092"),
            ("${NONE:-}", ""),
            ("${HOST:?say it}", "kafka"),
            ("$${HOST} é${HOST}", "${HOST} ékafka"),
        ];
        for (text, expected) in cases {
            assert_eq!(fill_text(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_filled_says_why() {
        assert_eq!(fill_text("${NONE}").unwrap_err(), "the environment variable NONE is not set");
        assert!(fill_text("${NONE:?ask ops}").unwrap_err().ends_with("not set: ask ops"));
        assert!(fill_text("${EMPTY:?ask ops}").is_err());
        for malformed in ["${", "${}", "${A", "${A-b}", "${1A}", "${A B}", "${A:-${B}}"] {
            assert!(fill_text(malformed).is_err(), "{malformed}");
        }
    }
}
