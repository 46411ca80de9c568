//! What a machine can run out of and get back: room on a disk, a quota, open files.
//! It must not wait: who meets it decides what to do until it is there again.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};

use tickcast_stream::error::{Error, Retry};

/// The process has as many open files as it may, and so has the system: `EMFILE` and `ENFILE`. They
/// are the same on every Unix, and `ErrorKind` has no name for them.
const NO_DESCRIPTOR: [i32; 2] = [24, 23];

/// Whether something in the chain says that the machine has run out of something: somebody may make
/// room, or close files.
pub(crate) fn is_scarce(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(is_scarcity) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An error that will pass once there is again what the machine has run out of.
pub(crate) fn passing(mut error: Error) -> Error {
    if is_scarce(&error) {
        error.retry = Retry::Later;
    }
    error
}

fn is_scarcity(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
        || error.raw_os_error().is_some_and(|code| NO_DESCRIPTOR.contains(&code))
}

#[cfg(test)]
mod tests {
    use tickcast_stream::error::{Kind, OrFail};

    use super::*;

    /// F3: without a free descriptor the run ended, without room on the disk it waited. Found by
    /// hostile testing.
    #[test]
    fn a_want_of_descriptors_passes_as_a_full_disk_does() {
        let is_scarce = |code| {
            let failed = Err::<(), _>(io::Error::from_raw_os_error(code));
            is_scarce(&failed.or_fail(Kind::Io, || "cannot write").unwrap_err())
        };
        // EMFILE, ENFILE, ENOSPC; EIO, EROFS, ENOENT.
        assert_eq!([24, 23, 28].map(is_scarce), [true; 3]);
        assert_eq!([5, 30, 2].map(is_scarce), [false; 3]);
    }
}
