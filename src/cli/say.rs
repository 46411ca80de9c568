//! A line on standard output, where results go.
//! It must not be used for logs or progress: those go to stderr.

use std::io::Write;

/// Writes a line. One that nobody reads any more (`| head`) is no failure.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
