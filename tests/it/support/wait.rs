//! Waiting until a condition holds, with a deadline. The file must not know what is waited for.
//!
//! A deadline ends a test that hangs. It measures nothing: a busy machine may take any time.

use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything takes that does not hang.
pub const PATIENCE: Duration = Duration::from_secs(120);

const PAUSE: Duration = Duration::from_millis(20);

/// What `look` sees, once it sees something. A panic names `what`, when that does not come within
/// [`PATIENCE`].
#[track_caller]
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    match wait_until(PATIENCE, look) {
        Some(seen) => seen,
        None => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Waits until `holds`. A panic names `what`, when that does not come within [`PATIENCE`].
#[track_caller]
pub fn wait_till(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(what, || holds().then_some(()));
}

/// What `look` sees within a time of the caller's choice. It looks at least once.
pub fn wait_until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        let seen = look();
        if seen.is_some() || Instant::now() > deadline {
            return seen;
        }
        thread::sleep(PAUSE);
    }
}
