//! Why a registry has not answered, in plain words.
//! It must not ask it. It is the only place that reads libcurl's texts.

use tickcast_stream::error::Retry;
use url::Url;

/// Why there was no answer, and whether there may be one later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoAnswer {
    pub why: String,
    pub retry: Retry,
}

impl NoAnswer {
    /// Reads an error of libcurl about this address.
    pub fn read(error: &curl::Error, url: &Url) -> Self {
        let said = error.extra_description().unwrap_or(error.description());
        let later = |why: &str| NoAnswer { why: why.to_owned(), retry: Retry::Later };
        let never = |why: String| NoAnswer { why, retry: Retry::Never };
        let is_plain = url.scheme() == "http";

        if error.is_couldnt_resolve_host() || error.is_couldnt_resolve_proxy() {
            return later("its name cannot be resolved");
        }
        if error.is_operation_timedout() {
            return later("no answer in time");
        }
        if error.is_peer_failed_verification() {
            return never(format!("TLS: {}", certificate_fault(said)));
        }
        if error.is_ssl_cacert_badfile() {
            return never("TLS: no certificate can be read from the file of registry.ca_file".to_owned());
        }
        if error.is_ssl_connect_error() && is_no_tls(said) {
            return never("TLS: it answers without TLS there: is its address http://?".to_owned());
        }

        if error.is_ssl_connect_error() && said.contains("unexpected eof") {
            return later("TLS: it hangs up: it may have no TLS there, with http:// in its address");
        }
        if error.is_ssl_connect_error() {
            return later(&format!("TLS: {said}"));
        }
        if error.is_couldnt_connect() {
            return later(connection_fault(said));
        }
        if is_plain && (error.is_got_nothing() || error.is_recv_error()) {
            return later("it hangs up without an answer: it may want TLS, with https:// in its address");
        }
        later(said)
    }
}

/// What is wrong with a certificate.
fn certificate_fault(said: &str) -> String {
    let why = said.strip_prefix("SSL certificate problem: ").unwrap_or(said);
    let is_about = |words: &str| why.contains(words);
    if is_about("has expired") {
        "its certificate has expired".to_owned()
    } else if is_about("not yet valid") {
        "its certificate is not yet valid: is the clock right?".to_owned()
    } else if is_about("self-signed") || is_about("self signed") || is_about("issuer certificate") {
        format!(
            "its certificate is not signed by an authority that is known here ({why}): see registry.ca_file"
        )
    } else if is_about("subject name") {
        format!("its certificate is for another host ({})", why.strip_prefix("SSL: ").unwrap_or(why))
    } else {
        why.to_owned()
    }
}

/// Whether the handshake met a server that does not speak TLS.
fn is_no_tls(said: &str) -> bool {
    ["wrong version number", "packet length too long", "unknown protocol", "http request"]
        .iter()
        .any(|words| said.contains(words))
}

/// libcurl's `Failed to connect to h port 1 after 0 ms: Could not connect to server` says no more.
fn connection_fault(said: &str) -> &'static str {
    if said.contains("timed out") {
        "no connection in time"
    } else {
        "no connection: nobody listens there, or it is out of reach"
    }
}
