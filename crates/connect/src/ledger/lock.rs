//! Who holds a state directory: any number of runs, or one that changes it from outside.
//! It must not know what a state means. The kernel lets go of a lock when its process ends, however
//! it ends.

use std::fs::{File, TryLockError};
use std::path::Path;

use tickcast_stream::PartitionId;
use tickcast_stream::error::{Error, Kind, OrFail, Result};

const FILE: &str = "lock";

/// How a state directory is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// As a run does, beside others.
    Shared,
    /// Alone.
    Alone,
}

/// A hold on a state directory, until it is dropped.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "held, not used")] File);

impl Lock {
    /// Errors: `State`, when another process holds the directory in a way that does not go with
    /// `hold`.
    pub fn take(dir: &Path, hold: Hold) -> Result<Lock> {
        let path = dir.join(FILE);
        let fail = || format!("cannot lock the state directory {}", dir.display());
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.or_fail(Kind::State, fail)?;

        let taken = match hold {
            Hold::Shared => file.try_lock_shared(),
            Hold::Alone => file.try_lock(),
        };
        let held_by = match hold {
            Hold::Shared => "weights are being imported into it; start again when that is done",
            Hold::Alone => "a run is using it; stop it first",
        };

        match taken {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let what = format!("another process has the state directory {}: {held_by}", dir.display());
                return Err(Error::new(Kind::State, what));
            }
            // Some network file systems cannot lock: a run must not fail for it.
            Err(TryLockError::Error(error)) if hold == Hold::Shared => {
                tracing::warn!(%error, dir = %dir.display(), "the state directory cannot be locked");
            }
            Err(TryLockError::Error(error)) => return Err(Error::new(Kind::State, fail()).because(error)),
        }
        Ok(Lock(file))
    }

    /// Holds one partition alone. Errors: `State`, when another run has it.
    pub fn partition(dir: &Path, partition: PartitionId) -> Result<Lock> {
        let path = dir.join(format!("partition-{partition}.lock"));
        let fail = || format!("cannot lock partition {partition} in the state directory {}", dir.display());
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.or_fail(Kind::State, fail)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => {
                Err(Error::new(Kind::State, fail()).because("another run of this pipeline has it"))
            }
            Err(TryLockError::Error(error)) => Err(Error::new(Kind::State, fail()).because(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_share_and_an_import_is_alone() {
        let dir = tempfile::tempdir().unwrap();
        let runs = [Hold::Shared; 2].map(|hold| Lock::take(dir.path(), hold).unwrap());
        let refused = Lock::take(dir.path(), Hold::Alone).unwrap_err().to_string();
        assert!(
            refused.contains("another process has") && refused.contains("a run is using it"),
            "{refused}"
        );
        drop(runs);
        let alone = Lock::take(dir.path(), Hold::Alone).unwrap();
        let refused = Lock::take(dir.path(), Hold::Shared).unwrap_err().to_string();
        assert!(refused.contains("being imported"), "{refused}");
        drop(alone);
        Lock::take(dir.path(), Hold::Shared).unwrap();
    }
}
