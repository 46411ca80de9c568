//! What a verb says: results as lines on standard output, and what people should know on stderr.
//! It must not be used for logs: those have a writer of their own.

use std::borrow::Cow;
use std::io::{ErrorKind, Write};

use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::record::printable;

/// Writes lines to standard output. One that nobody reads any more (`| head`) is no failure.
/// Errors: `Io`, when they cannot be written, as on a full disk.
pub fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout();
    match writeln!(out, "{}", lines(text)).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != ErrorKind::BrokenPipe => {
            Err(Error::new(Kind::Io, "cannot write to standard output").because(cause))
        }
        _ => Ok(()),
    }
}

/// Writes lines to stderr. There is nobody left to tell that it cannot be written.
pub fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", lines(text));
}

/// Names in it may be anybody's: nothing of them steers a terminal.
fn lines(text: &str) -> Cow<'_, str> {
    printable(text, &['\n', '\t'])
}
