//! A call that is repeated for a limited time.
//! It must not know what is called.

use std::thread;
use std::time::{Duration, Instant};

/// Repeats a call while it fails with an error that `is_worth_it`, for at most `limit`, with a
/// pause between two attempts. Errors: that of the last attempt.
pub(crate) fn retry<T, E>(
    limit: Duration,
    pause: Duration,
    mut call: impl FnMut() -> Result<T, E>,
    mut is_worth_it: impl FnMut(&E) -> bool,
) -> Result<T, E> {
    let began = Instant::now();
    loop {
        match call() {
            Err(error) if began.elapsed() < limit && is_worth_it(&error) => thread::sleep(pause),
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_success_with_an_error_that_lasts_and_with_the_time() {
        let mut left = 3;
        let mut call = || {
            left -= 1;
            if left == 0 { Ok("done") } else { Err(left) }
        };
        assert_eq!(retry(Duration::from_secs(60), Duration::ZERO, &mut call, |_| true), Ok("done"));
        let fails = || Err::<(), _>("no");
        assert_eq!(retry(Duration::from_secs(60), Duration::ZERO, fails, |_| false), Err("no"));
        assert_eq!(retry(Duration::from_millis(5), Duration::from_millis(1), fails, |_| true), Err("no"));
    }
}
