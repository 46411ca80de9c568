//! A password, or the file that it is kept in.
//! It must not know whom it is shown to, and nothing that prints it shows it.

use std::fmt;
use std::io::Result;
use std::path::PathBuf;

use crate::whole_file::read_whole_text;

/// Far longer than any password, key or certificate chain.
const SECRET_BYTES_MAX: u64 = 1 << 20;

/// A text that is never shown. `Debug` hides it, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Kept);

#[derive(Clone, PartialEq, Eq)]
enum Kept {
    Here(String),
    InFile(PathBuf),
}

impl Secret {
    /// The secret itself.
    pub fn text(text: impl Into<String>) -> Self {
        Secret(Kept::Here(text.into()))
    }

    /// A file that has the secret and maybe a line's end behind it.
    pub fn in_file(path: impl Into<PathBuf>) -> Self {
        Secret(Kept::InFile(path.into()))
    }

    /// What it is now: a file is read at each call, so one that was changed counts at once.
    /// Errors: those of the file, also when it has more than 1 MiB; they name neither its path nor
    /// its contents, for somebody may have put the secret itself in the path's place.
    pub fn read(&self) -> Result<String> {
        match &self.0 {
            Kept::Here(text) => Ok(text.clone()),
            Kept::InFile(path) => {
                let text = read_whole_text(path, SECRET_BYTES_MAX)?;
                Ok(text.trim_end_matches(['\n', '\r']).to_owned())
            }
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn it_is_read_from_its_file_each_time_and_is_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        fs::write(&path, "hunter2\r\n").unwrap();
        let secret = Secret::in_file(&path);
        assert_eq!(secret.read().unwrap(), "hunter2");
        fs::write(&path, " changed ").unwrap();
        assert_eq!(secret.read().unwrap(), " changed ");
        fs::remove_file(&path).unwrap();
        let error = secret.read().unwrap_err().to_string();
        assert!(!error.contains("password"), "{error}");

        for secret in [secret, Secret::text("hunter2")] {
            assert_eq!(format!("{secret:?}"), "Secret(…)");
        }
    }
}
