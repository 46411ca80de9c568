//! Progress bars on stderr; where that is no terminal they draw nothing.
//! It must not know what is counted.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for the reading of a history of unknown length.
pub fn reading() -> ProgressBar {
    styled(ProgressBar::no_length(), "{spinner} {prefix}{pos} records read  {per_sec}")
}

/// The bar with this template; a template with a fault leaves it as it is.
pub fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
