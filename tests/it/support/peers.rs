//! Other people's libraries, in Python: installed once a machine into a folder of its own. Without
//! Python a test prints `SKIPPED`, as one without a broker does. The file must not know tickcast.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::broker::{fetched, run, skip};

const REQUIREMENTS: &str = include_str!("../peers/requirements.txt");
const PYTHON: &str = "bin/python";

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
    let versions = REQUIREMENTS.split_whitespace().collect::<Vec<_>>().join("-").replace("==", "-");
    let folder = fetched(&format!("python-{versions}"), |whole| {
        run(Command::new("python3").args(["-m", "venv"]).arg(whole))?;
        let list = whole.join("requirements.txt");
        fs::write(&list, REQUIREMENTS).map_err(|error| error.to_string())?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        run(Command::new(whole.join(PYTHON)).args(pip).arg(list))
    })?;
    Ok(folder.join(PYTHON))
}
