//! The addresses of one registry, asked in turn until one of them answers.
//! It must not know what a schema is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde::de::DeserializeOwned;
use tickcast_stream::error::{Error, Kind, Retry};
use url::Url;

use super::answer::{Verdict, judge};
use super::unknown::UnknownSchema;
use crate::http::{Access, NoAnswer, Post, Request, call};

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// The second is for others that know only JSON.
const ACCEPT: &str = "application/vnd.schemaregistry.v1+json, application/json";

/// A registry's addresses, and how they are asked.
#[derive(Debug)]
pub(super) struct Servers {
    urls: Vec<Url>,
    access: Access,
    /// The one that answered last: it is asked first.
    first: AtomicUsize,
}

/// What is asked, in whose name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    /// What fails when this does.
    pub kind: Kind,
    /// What is asked for: `schema 7`.
    pub what: &'a str,
    /// The parts of the path behind the registry's address.
    pub path: &'a [&'a str],
    /// What is posted, if anything is.
    pub body: Option<&'a [u8]>,
    /// By then it is answered, or it has failed.
    pub deadline: Instant,
}

impl Servers {
    /// Nobody is asked yet.
    pub fn new(urls: Vec<Url>, access: Access) -> Self {
        Servers { urls, access, first: AtomicUsize::new(0) }
    }

    /// Asks one address after the other until one answers. Errors: because of [`UnknownSchema`],
    /// where the registry does not have it; `Retry::Later`, where an address could answer later.
    pub fn ask<T: DeserializeOwned>(&self, question: Question<'_>) -> Result<T, Error> {
        let first = self.first.load(Ordering::Relaxed);
        let mut failed = Vec::new();
        for n in (0..self.urls.len()).map(|n| (first + n) % self.urls.len()) {
            let url = joined(&self.urls[n], question.path);
            let post = question.body.map(|body| Post { kind: MEDIA_TYPE, body });
            let request = Request { url: &url, accept: ACCEPT, post, deadline: question.deadline };

            let verdict = match call(&request, &self.access) {
                Ok(answer) => judge(&answer, &self.access),
                Err(no_answer) => {
                    failed.push((url, no_answer));
                    continue;
                }
            };

            match verdict {
                Verdict::Found(found) => {
                    self.first.store(n, Ordering::Relaxed);
                    return Ok(found);
                }
                Verdict::Unknown(message) => {
                    self.first.store(n, Ordering::Relaxed);
                    let cause =
                        UnknownSchema { what: question.what.to_owned(), url: url.to_string(), message };
                    return Err(Error::new(question.kind, "schema registry").because(cause));
                }
                Verdict::Fault(fault) => {
                    let is_last_word = fault.retry == Retry::Never;
                    failed.push((url, fault));
                    if is_last_word {
                        break;
                    }
                }
            }
        }
        Err(failure(question, &failed))
    }
}

/// What every address has done instead of answering.
fn failure(question: Question<'_>, failed: &[(Url, NoAnswer)]) -> Error {
    let all: Vec<String> = failed.iter().map(|(url, fault)| format!("{url}: {}", fault.why)).collect();
    let what = format!("schema registry: cannot ask for {}", question.what);
    let helps = failed.iter().any(|(_, fault)| fault.retry == Retry::Later);
    let error = if helps { Error::transient(question.kind, what) } else { Error::new(question.kind, what) };
    error.because(all.join("; "))
}

/// An address with a path behind its own. A part may have any characters.
fn joined(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut parts) = url.path_segments_mut() {
        parts.pop_if_empty().extend(path);
    }
    url
}
