//! One HTTP request, bounded in time and size.
//! It must not know what is asked, nor try again.
//!
//! libcurl and OpenSSL are those that librdkafka is built with. A connection lives for one request:
//! requests are rare, and a password or a list of authorities that was changed counts at once. No
//! redirect is followed: the password would go where nobody has sent it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use curl::easy::{Auth, Easy2, Handler, List, WriteError};
use tickcast_stream::error::Retry;
use url::Url;

use super::no_answer::NoAnswer;
use crate::secret::Secret;
use crate::tls::trust_system;

/// How long a connection may take, its handshake included.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long a request may take.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Far longer than any schema, and than any token.
pub(crate) const BODY_BYTES_MAX: usize = 4 << 20;

/// Who asks, and whose certificates are believed.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub ca_file: Option<PathBuf>,
    /// How long a request may take.
    pub answer_within: Duration,
    /// What faults name.
    pub keys: Keys,
}

/// The keys of the pipeline file that say how a server is reached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    pub password: &'static str,
    pub ca_file: &'static str,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Request<'a> {
    pub url: &'a Url,
    /// The kinds of answers that are understood.
    pub accept: &'a str,
    /// What is posted, if anything is.
    pub post: Option<Post<'a>>,
    /// By then the answer is whole, or there is none.
    pub deadline: Instant,
}

/// A body, and what kind of one it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Post<'a> {
    pub kind: &'a str,
    pub body: &'a [u8],
}

/// What a server has answered, good or not.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    /// 200 and the like.
    pub status: u32,
    pub body: Vec<u8>,
    /// Where the server sends us instead.
    pub location: Option<String>,
}

/// Asks once. Errors: why there was no answer.
pub(crate) fn call(request: &Request<'_>, access: &Access) -> Result<HttpAnswer, NoAnswer> {
    let password = read_password(access)?;
    let mut easy = Easy2::new(Body::default());
    let done = prepare(&mut easy, request, access, password.as_deref()).and_then(|()| easy.perform());

    if easy.get_ref().is_too_large {
        let what = format!("its answer has more than {} MiB", BODY_BYTES_MAX >> 20);
        return Err(NoAnswer { why: what, retry: Retry::Never });
    }

    let answer = done.and_then(|()| {
        let location = easy.redirect_url()?.map(str::to_owned);
        Ok(HttpAnswer { status: easy.response_code()?, body: Vec::new(), location })
    });

    match answer {
        Ok(answer) => Ok(HttpAnswer { body: std::mem::take(&mut easy.get_mut().bytes), ..answer }),
        Err(error) => Err(NoAnswer::read(&error, request.url, access.keys.ca_file)),
    }
}

fn read_password(access: &Access) -> Result<Option<String>, NoAnswer> {
    let read = access.password.as_ref().map(Secret::read).transpose();
    read.map_err(|why| {
        let why = format!("the file of {} cannot be read: {}", access.keys.password, why.kind());
        NoAnswer { why, retry: Retry::Never }
    })
}

fn prepare(
    easy: &mut Easy2<Body>,
    request: &Request<'_>,
    access: &Access,
    password: Option<&str>,
) -> Result<(), curl::Error> {
    let left = request.deadline.saturating_duration_since(Instant::now());
    // Zero would be no limit.
    let left = left.min(access.answer_within).max(Duration::from_millis(1));
    easy.timeout(left)?;
    easy.connect_timeout(left.min(CONNECT_WITHIN))?;

    easy.url(request.url.as_str())?;
    easy.useragent(concat!("tickcast/", env!("CARGO_PKG_VERSION")))?;

    let mut headers = List::new();
    headers.append(&format!("Accept: {}", request.accept))?;
    if let Some(post) = request.post {
        easy.post(true)?;
        easy.post_fields_copy(post.body)?;
        headers.append(&format!("Content-Type: {}", post.kind))?;
        // A large schema would wait for the leave to be sent.
        headers.append("Expect:")?;
    }
    easy.http_headers(headers)?;

    if let Some(username) = &access.username {
        easy.http_auth(Auth::new().basic(true))?;
        easy.username(username)?;
        easy.password(password.unwrap_or_default())?;
    }
    match &access.ca_file {
        Some(file) => easy.cainfo(file),
        None => trust_system(easy),
    }
}

/// The body of an answer, up to its bound.
#[derive(Default)]
struct Body {
    bytes: Vec<u8>,
    is_too_large: bool,
}

impl Handler for Body {
    /// Fewer bytes than came end the transfer.
    fn write(&mut self, data: &[u8]) -> Result<usize, WriteError> {
        self.is_too_large = self.bytes.len() + data.len() > BODY_BYTES_MAX;
        if self.is_too_large {
            return Ok(0);
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }
}
