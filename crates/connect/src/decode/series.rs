//! The names of series: which may be one.
//! It must not know what a series is made of.

use tickcast_stream::message::Reason;

use super::verdict::Verdicts;

/// The longest name of a series, in bytes: it is the key of every record that leaves, and in its
/// value again.
const MAX_BYTES: usize = 1024;

/// Rejects the row where the column `key` names no series.
pub(super) fn judge(row: usize, series: Option<&str>, key: &str, verdicts: &mut Verdicts) {
    let fault = match series {
        None => "missing or null",
        Some("") => "empty",
        Some(series) if series.len() > MAX_BYTES => {
            verdicts.reject(row, Reason::TooLarge, || {
                format!("the key `{key}` has {} bytes, {MAX_BYTES} are allowed", series.len())
            });
            return;
        }
        Some(_) => return,
    };

    verdicts.reject(row, Reason::MissingKey, || format!("the key `{key}` is {fault}"));
}
