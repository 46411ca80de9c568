//! Which segments of a journal go: those that nobody needs and that are old enough.
//! It must not decide what is needed.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use tickcast_stream::Offset;
use tickcast_stream::error::{Kind, OrFail, Result};

use super::segment::{path_of, segments};

/// Removes the segments whose records are all before `needed` and that were last written longer ago
/// than `keep`, the oldest first. How many went. Errors: `Source`.
pub(super) fn drop_old(dir: &Path, needed: Offset, keep: Duration) -> Result<usize> {
    let firsts = segments(dir)?;
    let mut dropped = 0;
    for pair in firsts.windows(2) {
        let path = path_of(dir, pair[0]);
        let fail = || format!("cannot drop {}", path.display());
        let written = fs::metadata(&path).and_then(|found| found.modified()).or_fail(Kind::Source, fail)?;
        // A clock that was set back makes a segment young, which keeps it.
        let age = SystemTime::now().duration_since(written).unwrap_or_default();
        if pair[1] > needed || age < keep {
            break;
        }

        fs::remove_file(&path).or_fail(Kind::Source, fail)?;
        // Before the next one goes: a gap would be records that are gone.
        File::open(dir).and_then(|dir| dir.sync_all()).or_fail(Kind::Source, fail)?;
        dropped += 1;
    }
    Ok(dropped)
}
