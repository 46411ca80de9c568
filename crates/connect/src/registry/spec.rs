//! How a schema registry is reached.
//! It must not reach it.

use std::path::PathBuf;

use tickcast_stream::error::{Error, Kind, Result};
use url::Url;

use crate::secret::Secret;

/// Where a registry is, and who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistrySpec {
    /// Its address, `http://` or `https://`; several with commas between them are tried in turn.
    pub url: String,
    /// Whom it knows us as, where it wants a login.
    pub username: Option<String>,
    /// The user's password. One in a file is read at each call.
    pub password: Option<Secret>,
    /// The authorities (PEM) that may have signed its certificate. None: those of the system.
    pub ca_file: Option<PathBuf>,
}

impl RegistrySpec {
    /// Checks its addresses. Errors: what is wrong, for a person.
    pub fn check(&self) -> std::result::Result<(), String> {
        let words = |error: Error| {
            let text = error.to_string();
            text.trim_start_matches("pipeline: registry.url").trim_start_matches([',', ' ']).to_owned()
        };
        self.servers().map(drop).map_err(words)
    }

    /// Its addresses. Errors: `Config`, where one is no address; the message does not show it, for
    /// it may have a password in it.
    pub(super) fn servers(&self) -> Result<Vec<Url>> {
        let written = self.url.split(',').map(str::trim).filter(|url| !url.is_empty());
        let servers = written.enumerate().map(|(n, url)| server(n + 1, url)).collect::<Result<Vec<_>>>()?;
        if servers.is_empty() {
            return Err(refused("registry.url is empty: write it like https://host:8081"));
        }
        Ok(servers)
    }
}

/// One address.
fn server(n: usize, written: &str) -> Result<Url> {
    let url = Url::parse(written).map_err(|why| {
        refused(format!("registry.url, address {n}: {why}: write it like https://host:8081"))
    })?;

    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refused(format!("registry.url, address {n}: write it like https://host:8081")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let help = "write registry.username and registry.password_file";
        return Err(refused(format!("registry.url, address {n}: no place for a user or a password: {help}")));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused(format!("registry.url, address {n}: it must end with its path, before ? and #")));
    }
    Ok(url)
}

fn refused(what: impl Into<String>) -> Error {
    Error::new(Kind::Config, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(url: &str) -> std::result::Result<Vec<String>, String> {
        let spec = RegistrySpec { url: url.to_owned(), ..RegistrySpec::default() };
        let servers = spec.servers().map_err(|error| error.to_string())?;
        Ok(servers.iter().map(Url::to_string).collect())
    }

    #[test]
    fn an_address_is_checked_and_a_wrong_one_is_not_shown() {
        let two = servers("http://a:8081 , https://b/apis/ccompat/v7,").unwrap();
        assert_eq!(two, ["http://a:8081/", "https://b/apis/ccompat/v7"]);
        for (url, expected) in [
            ("", "registry.url is empty"),
            (",", "registry.url is empty"),
            ("hunter2", "address 1: relative URL without a base"),
            ("http://a,hunter2:8081", "address 2: write it like https://host:8081"),
            ("https://me:hunter2@a", "write registry.username and registry.password_file"),
            ("https://a?token=hunter2", "before ? and #"),
        ] {
            let error = servers(url).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{url}: {error}");
        }
    }
}
