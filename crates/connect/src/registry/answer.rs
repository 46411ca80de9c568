//! What a registry's answers mean.
//! It must not ask, nor know which schema was asked for.

use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tickcast_stream::error::Retry;
use tickcast_stream::record::printable;
use url::Url;

use super::schema::{SchemaKind, SchemaReference};
use crate::http::{Access, HttpAnswer, NoAnswer};

/// The codes of a registry that has no such subject, version or id. Others that come with HTTP 404
/// are about the address.
const UNKNOWN: RangeInclusive<i64> = 40401..=40403;
/// How much of its words a message shows, in characters.
const WORDS_MAX: usize = 200;

/// A schema as it comes.
#[derive(Debug, Deserialize)]
pub(super) struct SchemaBody {
    pub schema: String,
    #[serde(rename = "schemaType", default = "avro")]
    pub kind: SchemaKind,
    /// What it uses; some registries say null for nothing.
    pub references: Option<Vec<SchemaReference>>,
    /// Not where it was asked for by its id.
    pub id: Option<u32>,
}

/// The answer to a schema that was registered.
#[derive(Debug, Deserialize)]
pub(super) struct IdBody {
    pub id: u32,
}

#[derive(Default, Deserialize)]
struct FaultBody {
    error_code: Option<i64>,
    message: Option<String>,
}

/// What an answer says.
#[derive(Debug)]
pub(super) enum Verdict<T> {
    /// What was asked for.
    Found(T),
    /// There is no such thing, in the registry's words.
    Unknown(String),
    /// Something is wrong; a server that has trouble of its own is worth another try.
    Fault(NoAnswer),
}

/// A registry's schemas are Avro where it does not say another language.
fn avro() -> SchemaKind {
    SchemaKind::Avro
}

/// Judges an answer.
pub(super) fn judge<T: DeserializeOwned>(answer: &HttpAnswer, access: &Access) -> Verdict<T> {
    let HttpAnswer { status, body, location } = answer;
    if (200..300).contains(status) {
        return match serde_json::from_slice(body) {
            Ok(found) => Verdict::Found(found),
            Err(why) => never(format!("its answer is not a schema registry's ({why}): {}", quoted(body))),
        };
    }

    let fault: FaultBody = serde_json::from_slice(body).unwrap_or_default();
    let said = fault.message.as_deref().map_or_else(|| quoted(body), |words| quoted(words.as_bytes()));
    let user = access.username.as_deref();

    match status {
        404 if fault.error_code.is_some_and(|code| UNKNOWN.contains(&code)) => {
            Verdict::Unknown(shown(fault.message.unwrap_or_default().as_bytes()))
        }
        404 => never(format!("it answers HTTP 404 to all of it: is registry.url right? It says {said}")),
        401 => never(login_refused(user)),
        403 => never(format!("it forbids {} to do that (HTTP 403): {said}", whom(user))),
        429 | 500.. => {
            Verdict::Fault(NoAnswer { why: format!("HTTP {status}: {said}"), retry: Retry::Later })
        }
        300..=399 => never(elsewhere(*status, location.as_deref())),
        _ => never(format!("HTTP {status}: {said}")),
    }
}

fn never<T>(why: String) -> Verdict<T> {
    Verdict::Fault(NoAnswer { why, retry: Retry::Never })
}

fn login_refused(user: Option<&str>) -> String {
    match user {
        Some(user) => format!("the username ({user}) or the password is wrong (HTTP 401)"),
        None => "it wants a login (HTTP 401): see registry.username and registry.password_file".to_owned(),
    }
}

fn whom(user: Option<&str>) -> String {
    user.map_or_else(|| "those without a login".to_owned(), |user| format!("the user {user}"))
}

/// A redirect. Of where it leads only the part that has no secrets is shown.
fn elsewhere(status: u32, location: Option<&str>) -> String {
    let place = location.and_then(|location| {
        let mut url = Url::parse(location).ok()?;
        url.set_username("").and(url.set_password(None)).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        Some(url.to_string())
    });
    let place = place.unwrap_or_else(|| "elsewhere".to_owned());
    format!("it sends us to {place} (HTTP {status}), and no redirect is followed: is registry.url right?")
}

/// The beginning of what came, on one line, between quotes.
fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", shown(bytes))
}

fn shown(bytes: &[u8]) -> String {
    // Some more bytes than characters: one has up to four.
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * WORDS_MAX)]);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = printable(&words, &[]);
    match words.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words.into_owned(),
    }
}
