//! How a verb ends: done, or failed in one of the ways that have an exit code of their own.
//! It must not end the process: `main` returns the code.

use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;

use super::say::tell;
use crate::failure::Failure;

/// Exit code of a bad pipeline file: sysexits' EX_CONFIG.
const BAD_PIPELINE: u8 = 78;

/// Exit code of a verification in which nothing differs, but not all was compared.
const INCOMPLETE: u8 = 3;

/// How a verb failed.
pub enum Failed {
    /// The arguments do not go together.
    Usage(clap::Error),
    /// The pipeline failed.
    Pipeline(Failure),
    /// All went well, but what was asked for does not hold.
    Unmet(String),
    /// Nothing is wrong, but not all of it could be looked at.
    Incomplete(String),
}

impl Failed {
    /// Arguments that are good alone do not go together.
    pub fn conflict(what: &str) -> Self {
        Failed::Usage(clap::Error::raw(ErrorKind::ArgumentConflict, what))
    }

    /// Says on stderr what failed. The exit code: 1 failed, 2 usage, 3 not all was verified, 78 bad
    /// pipeline file.
    pub fn report(self, command: &mut clap::Command) -> ExitCode {
        match self {
            Failed::Usage(error) => usage(&error.format(command)),
            Failed::Pipeline(Failure::Pipeline(faults)) => {
                tell(&faults.to_string());
                ExitCode::from(BAD_PIPELINE)
            }
            Failed::Pipeline(Failure::Runtime(error)) => {
                tell(&format!("error: {error}"));
                ExitCode::FAILURE
            }
            Failed::Unmet(what) => {
                tell(&what);
                ExitCode::FAILURE
            }
            Failed::Incomplete(what) => {
                eprintln!("{what}");
                ExitCode::from(INCOMPLETE)
            }
        }
    }
}

impl<E: Into<Failure>> From<E> for Failed {
    fn from(failure: E) -> Self {
        Failed::Pipeline(failure.into())
    }
}

/// What a verb returns.
pub type VerbResult<T = ()> = std::result::Result<T, Failed>;

/// Prints what is wrong with the command line, or the help that was asked for. The exit code: 2, or
/// 0 for help; 1, when the help cannot be printed.
pub fn usage(error: &clap::Error) -> ExitCode {
    match error.print() {
        // As with `say`: nobody may be reading.
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe && !error.use_stderr() => ExitCode::FAILURE,
        _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
    }
}
