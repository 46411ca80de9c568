//! How deep an expression may be, and a stack that is deep enough for it.
//! It must not know what is planned.
//!
//! DataFusion walks an expression and a plan by recursion, and a stack that overflows ends the
//! process. What is deep has many words: a chain of n operators is n levels deep, and nothing is
//! deeper than it has words.

use std::thread;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use tickcast_stream::error::{Error, Kind, OrFail, Result};

/// Of a stack on which [`WORDS_MAX`] levels are planned and run. A level of a build without
/// optimisation takes less than 32 KiB. Only what is used is ever memory.
pub const STACK_BYTES: usize = 256 << 20;
/// The words of a query, at most.
pub const WORDS_MAX: usize = 4000;

/// Refuses what could be deeper than the stack. Lists may be long: commas and values do not count.
/// Errors: `Query`.
pub fn check(sql: &str, words_max: usize) -> Result<()> {
    // What has no tokens is told by the parser.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else { return Ok(()) };
    let words = tokens.iter().filter(|token| is_word(token)).count();
    if words > words_max {
        let what = format!(
            "{words} operators, names and keywords are too many, at most {words_max}: it could be nested too deeply"
        );
        return Err(Error::new(Kind::Query, what));
    }
    Ok(())
}

fn is_word(token: &Token) -> bool {
    use Token::{Comma, HexStringLiteral, NationalStringLiteral, Number, SingleQuotedString, Whitespace};
    !matches!(
        token,
        Comma
            | Whitespace(_)
            | Number(..)
            | SingleQuotedString(_)
            | NationalStringLiteral(_)
            | HexStringLiteral(_)
    )
}

/// Does the work on a thread whose stack is deep enough. Errors: the work's, and `Query` when it
/// panics.
pub fn on_a_deep_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|threads| {
        let thread = thread::Builder::new().name("sql".into()).stack_size(STACK_BYTES);
        let thread =
            thread.spawn_scoped(threads, work).or_fail(Kind::Io, || "cannot start a thread for the query")?;
        thread.join().unwrap_or_else(|_| {
            Err(Error::new(Kind::Query, "it made DataFusion panic; this is a bug, in it or in tickcast"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// F11: 20,000 terms and 3,000 branches ended the process with SIGABRT. Found by hostile testing.
    #[test]
    fn what_could_overflow_the_stack_is_refused_and_a_long_list_is_not() {
        let deep = [
            format!("SELECT {}1", "1+".repeat(20_000)),
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(3_000)),
            format!("SELECT 1{}", "::int".repeat(3_000)),
        ];
        for sql in deep {
            let refused = check(&sql, WORDS_MAX).unwrap_err().to_string();
            assert!(refused.contains("nested too deeply"), "{refused}");
        }
        check(&format!("SELECT 1 IN (0{})", ", 7, 'x'".repeat(20_000)), WORDS_MAX).unwrap();
        check("SELECT 'no end", WORDS_MAX).unwrap();
    }
}
