//! The one error type: what went wrong, where, and whether trying again can help.
//! It must not know any module of tickcast: modules say their failure in its words.

use std::error::Error as StdError;
use std::fmt;

/// What kind of thing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The pipeline file is wrong (exit code 78).
    Config,
    /// A source could not be read.
    Source,
    /// A sink could not be written.
    Sink,
    /// Learned state could not be written or read back.
    State,
    /// A SQL expression or query could not be planned or run.
    Query,
    /// The machine: files, sockets, threads.
    Io,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Config => "pipeline",
            Kind::Source => "source",
            Kind::Sink => "sink",
            Kind::State => "state",
            Kind::Query => "query",
            Kind::Io => "io",
        }
    }
}

/// Whether the same call can succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same call may succeed later (a broker that is away).
    Later,
    /// It will fail again until somebody changes something.
    Never,
}

/// A failure with its kind, its retry class and the chain of its causes.
#[derive(Debug)]
pub struct Error {
    /// What kind of thing failed.
    pub kind: Kind,
    /// Whether the same call can succeed later.
    pub retry: Retry,
    what: String,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

/// What fallible calls return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure that will not go away by itself.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Error { kind, retry: Retry::Never, what: what.into(), cause: None }
    }

    /// A failure that may go away by itself.
    pub fn transient(kind: Kind, what: impl Into<String>) -> Self {
        Error { retry: Retry::Later, ..Error::new(kind, what) }
    }

    /// The same failure with the error that caused it.
    pub fn because(self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Error { cause: Some(cause.into()), ..self }
    }
}

impl fmt::Display for Error {
    /// The whole chain on one line: `source: cannot open x.csv: No such file or directory`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.word(), self.what)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

/// Names the failed action on any error:
/// `File::open(p).or_fail(Kind::Io, || format!("cannot open {p}"))?`.
pub trait OrFail<T> {
    /// The same result, its error under a kind and with what was tried.
    fn or_fail<S: Into<String>>(self, kind: Kind, what: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> OrFail<T> for std::result::Result<T, E> {
    fn or_fail<S: Into<String>>(self, kind: Kind, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|cause| Error::new(kind, what()).because(cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_whole_chain() {
        let missing = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let error = Err::<(), _>(missing).or_fail(Kind::Source, || "cannot open x.csv").unwrap_err();
        assert_eq!(error.to_string(), "source: cannot open x.csv: no such file");
        assert_eq!(error.retry, Retry::Never);
    }
}
