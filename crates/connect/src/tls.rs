//! Whose certificates libcurl believes, and what is wrong with one that it does not.
//! It must not know who is asked, nor what for.

use std::sync::LazyLock;

use curl::easy::{Easy2, Handler};
use openssl_probe::ProbeResult;

/// The system's authorities, where this system keeps them.
static SYSTEM_ROOTS: LazyLock<ProbeResult> = LazyLock::new(openssl_probe::probe);

/// Believes the authorities of the system.
pub(crate) fn trust_system<H: Handler>(easy: &mut Easy2<H>) -> Result<(), curl::Error> {
    if let Some(file) = &SYSTEM_ROOTS.cert_file {
        easy.cainfo(file)?;
    }
    if let Some(dir) = &SYSTEM_ROOTS.cert_dir {
        easy.capath(dir)?;
    }
    Ok(())
}

/// What is wrong with a server's certificate, where that is why libcurl has failed. `ca_key`: the
/// key that names the authorities.
pub(crate) fn certificate_fault(error: &curl::Error, ca_key: &str) -> Option<String> {
    if error.is_ssl_cacert_badfile() {
        return Some(format!("no certificate can be read from {ca_key}"));
    }
    if !error.is_peer_failed_verification() {
        return None;
    }

    let said = error.extra_description().unwrap_or(error.description());
    let why = said.strip_prefix("SSL certificate problem: ").unwrap_or(said);
    let is_about = |words: &[&str]| words.iter().any(|words| why.contains(words));
    Some(if is_about(&["has expired"]) {
        "its certificate has expired".to_owned()
    } else if is_about(&["not yet valid"]) {
        "its certificate is not yet valid: is the clock right?".to_owned()
    } else if is_about(&["self-signed", "self signed", "issuer certificate"]) {
        format!("its certificate is not signed by an authority that is known here ({why}): see {ca_key}")
    } else if is_about(&["subject name"]) {
        format!("its certificate is for another host ({})", why.strip_prefix("SSL: ").unwrap_or(why))
    } else {
        why.to_owned()
    })
}

/// Whether a handshake failed because the server does not speak TLS.
pub(crate) fn has_no_tls(error: &curl::Error) -> bool {
    let said = error.extra_description().unwrap_or(error.description());
    let words = [
        "wrong version number",
        "packet length too long",
        "unknown protocol",
        "http request",
        "unexpected eof",
    ];
    error.is_ssl_connect_error() && words.iter().any(|words| said.contains(words))
}
