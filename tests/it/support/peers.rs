//! Other people's libraries, in Python: installed once a machine into a folder of its own. Without
//! Python a test prints `SKIPPED`, as one without a broker does. The file must not know tickcast.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::broker::{cache, skip};

const REQUIREMENTS: &str = include_str!("../peers/requirements.txt");

/// Python with the libraries; none where there is none: the test is reported as skipped and must
/// return.
pub fn python_or_skip() -> Option<&'static Path> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match PYTHON.get_or_init(install) {
        Ok(python) => Some(python),
        Err(why) => skip(why),
    }
}

/// A script of `tests/it/peers` with these arguments, to its end.
pub fn run_peer(python: &Path, script: &str, args: &[&Path]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/peers").join(script);
    let output = Command::new(python).arg(script).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn install() -> Result<PathBuf, String> {
    let cache = cache()?;
    let name = REQUIREMENTS.split_whitespace().collect::<Vec<_>>().join("-").replace("==", "-");
    let (folder, python) = (cache.join(format!("python-{name}")), Path::new("bin/python"));
    if folder.join("complete").exists() {
        return Ok(folder.join(python));
    }

    // Made under another name: two test processes may do it at the same time.
    let coming = tempfile::Builder::new().prefix("python-coming-").tempdir_in(&cache);
    let coming = coming.map_err(|error| error.to_string())?;
    run(Command::new("python3").args(["-m", "venv"]).arg(coming.path()))?;
    fs::write(coming.path().join("requirements.txt"), REQUIREMENTS).map_err(|error| error.to_string())?;
    run(Command::new(coming.path().join(python))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(coming.path().join("requirements.txt")))?;
    fs::write(coming.path().join("complete"), "").map_err(|error| error.to_string())?;
    match fs::rename(coming.keep(), &folder) {
        Ok(()) => Ok(folder.join(python)),
        // Another process was first.
        Err(_) if folder.join("complete").exists() => Ok(folder.join(python)),
        Err(error) => Err(format!("{}: {error}", folder.display())),
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {}", said.trim())) }
}
