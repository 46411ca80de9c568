//! Why a server has not answered, in plain words.
//! It must not ask it. It is the only place that reads libcurl's texts.

use tickcast_stream::error::Retry;
use url::Url;

use crate::tls::{certificate_fault, has_no_tls};

/// Why there was no answer, and whether there may be one later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoAnswer {
    pub why: String,
    pub retry: Retry,
}

impl NoAnswer {
    /// Reads an error of libcurl about this address. `ca_key`: the key that names the authorities.
    pub fn read(error: &curl::Error, url: &Url, ca_key: &str) -> Self {
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
        if let Some(fault) = certificate_fault(error, ca_key) {
            return never(format!("TLS: {fault}"));
        }
        if has_no_tls(error) {
            return later("TLS: it does not answer with TLS there: is its address http://?");
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

/// libcurl's `Failed to connect to h port 1 after 0 ms: Could not connect to server` says no more.
fn connection_fault(said: &str) -> &'static str {
    if said.contains("timed out") {
        "no connection in time"
    } else {
        "no connection: nobody listens there, or it is out of reach"
    }
}
