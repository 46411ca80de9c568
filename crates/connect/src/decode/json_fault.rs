//! Why a JSON payload is no record, for a person; it is asked for only where one is not.
//! It must not know what the fields mean.
//!
//! Where the text is no JSON the words are those of `serde_json`.

use serde::de::IgnoredAny;

use super::json_scanner::{MAX_DEPTH, Malformed};
use super::verdict::{quote, quote_around};

/// What is wrong with a payload. `scanned`: whether it is an object that is not nested too deep;
/// `at`: how far the scan has come.
pub(super) fn fault(payload: &str, scanned: Result<(), Malformed>, at: usize) -> String {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(payload) {
        let found = place(payload, error.line(), error.column());
        // What comes before, such as NaN, is taken here.
        let is_taken = scanned.is_err() && found + "Infinity".len() < at;
        if is_taken {
            return format!("not JSON at byte {at}: {}", quote_around(payload, at));
        }
        return format!("not JSON: {error}: {}", quote_around(payload, found));
    }
    if !payload.trim_ascii_start().starts_with('{') {
        return format!("a JSON object is expected, not {}", quote(payload));
    }

    match scanned {
        Err(Malformed) => format!("JSON nested deeper than {MAX_DEPTH} levels"),
        Ok(()) => "half of a surrogate pair (`\\ud800` to `\\udfff`) stands alone".to_owned(),
    }
}

/// The byte that is so many lines and columns into a text, both from 1.
fn place(text: &str, line: usize, column: usize) -> usize {
    let start = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
    start + column.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_words() {
        let malformed = Err(Malformed);
        assert!(fault("{\"a\":nan}", malformed, 5).starts_with("not JSON: "));
        assert_eq!(fault(" 7", malformed, 1), "a JSON object is expected, not ` 7`");
        assert_eq!(fault("{}", malformed, 0), "JSON nested deeper than 128 levels");
        let lone = "half of a surrogate pair (`\\ud800` to `\\udfff`) stands alone";
        assert_eq!(fault("{}", Ok(()), 2), lone);
    }

    /// The words pointed at the NaN, with which nothing is wrong.
    #[test]
    fn a_fault_behind_a_nan_is_the_one_that_is_told() {
        let text = format!("{{\"a\":NaN,\"{}\":1,\"b\":}}", "x".repeat(60));
        let said = fault(&text, Err(Malformed), 79);
        assert!(said.starts_with("not JSON at byte 79: `…") && said.ends_with("\\\"b\\\":}`"), "{said}");
    }
}
