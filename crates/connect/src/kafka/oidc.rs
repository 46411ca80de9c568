//! Tokens of an OpenID provider, for `sasl.oauthbearer.method: oidc`. The build of librdkafka that
//! we have does not fetch them itself: its search for libcurl does not find that of `curl-sys`.
//! It must not know which client shows a token.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::config::ClientConfig;
use serde::Deserialize;
use tickcast_stream::error::{Error, Kind, Result, Retry};
use tickcast_stream::lock::lock;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::http::{ANSWER_WITHIN, Access, HttpAnswer, Keys, NoAnswer, Post, Request, call};
use crate::secret::Secret;

const METHOD: &str = "sasl.oauthbearer.method";
const ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";
const CLIENT_ID: [&str; 2] = ["sasl.oauthbearer.client.id", "sasl.oauthbearer.client.credentials.client.id"];
const CLIENT_SECRET: [&str; 2] =
    ["sasl.oauthbearer.client.secret", "sasl.oauthbearer.client.credentials.client.secret"];
const SCOPE: &str = "sasl.oauthbearer.scope";
const CA_FILE: &str = "https.ca.location";
const KEYS: Keys = Keys { password: "sasl.oauthbearer.client.secret_file", ca_file: CA_FILE };

/// Who gives out tokens, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Oidc {
    endpoint: String,
    client_id: String,
    client_secret: Secret,
    scope: Option<String>,
    ca_file: Option<PathBuf>,
}

/// A token, as librdkafka wants it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub text: String,
    /// Whom it is about.
    pub principal: String,
    /// When it ends, in ms since 1970.
    pub expires_ms: i64,
    /// When the next one is to be fetched.
    pub renew_at: Instant,
}

/// The newest token of each that is asked: a process has a dozen clients, and each shows the same.
static TOKENS: LazyLock<Mutex<BTreeMap<String, Arc<Token>>>> = LazyLock::new(Mutex::default);

impl Oidc {
    /// Takes these properties out of a configuration, where it has the method. Errors: `Config`,
    /// where one is missing or is not known here.
    pub fn take(config: &mut ClientConfig) -> Result<Option<Oidc>> {
        if config.get(METHOD).is_none_or(|method| !method.eq_ignore_ascii_case("oidc")) {
            return Ok(None);
        }
        let mut take = |names: &[&str]| {
            let found = names.iter().find_map(|name| config.get(name).map(str::to_owned));
            names.iter().for_each(|name| _ = config.remove(name));
            found
        };
        let missing = |name: &str| Error::new(Kind::Config, format!("{METHOD}: oidc needs {name}"));

        take(&[METHOD]);
        let endpoint = take(&[ENDPOINT]).ok_or_else(|| missing(ENDPOINT))?;
        let client_id = take(&CLIENT_ID).ok_or_else(|| missing(CLIENT_ID[0]))?;
        let client_secret = Secret::text(take(&CLIENT_SECRET).ok_or_else(|| missing(CLIENT_SECRET[0]))?);
        let (scope, ca_file) = (take(&[SCOPE]), take(&[CA_FILE]).map(PathBuf::from));

        let grant = take(&["sasl.oauthbearer.grant.type"]);
        if grant.is_some_and(|grant| grant != "client_credentials") {
            return Err(Error::new(
                Kind::Config,
                "sasl.oauthbearer.grant.type: only client_credentials is built",
            ));
        }
        let url = Url::parse(&endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        if url.is_none() {
            return Err(Error::new(Kind::Config, format!("{ENDPOINT}: write it like https://host/token")));
        }

        Ok(Some(Oidc { endpoint, client_id, client_secret, scope, ca_file }))
    }

    /// The newest token; it is fetched where there is none, or it is time for another one. Errors:
    /// `Source`; `Retry::Later`, where the provider cannot be reached.
    pub fn token(&self) -> Result<Arc<Token>> {
        let of = format!("{} {} {:?}", self.endpoint, self.client_id, self.scope);
        // Those who come meanwhile wait for the same answer.
        let mut tokens = lock(&TOKENS);
        if let Some(token) = tokens.get(&of).filter(|token| Instant::now() < token.renew_at) {
            return Ok(Arc::clone(token));
        }

        let token = Arc::new(self.fetch()?);
        tokens.insert(of, Arc::clone(&token));
        Ok(token)
    }

    fn fetch(&self) -> Result<Token> {
        let url = Url::parse(&self.endpoint)
            .map_err(|why| Error::new(Kind::Config, format!("cannot read {ENDPOINT}")).because(why))?;
        // Not the whole of it: people put keys there too.
        let fail = || format!("cannot get a token from {}", url.origin().ascii_serialization());
        let access = Access {
            username: Some(self.client_id.clone()),
            password: Some(self.client_secret.clone()),
            ca_file: self.ca_file.clone(),
            answer_within: ANSWER_WITHIN,
            keys: KEYS,
        };

        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        self.scope.iter().for_each(|scope| _ = form.append_pair("scope", scope));
        let body = form.finish();

        let post = Post { kind: "application/x-www-form-urlencoded", body: body.as_bytes() };
        let deadline = Instant::now() + ANSWER_WITHIN;
        let request = Request { url: &url, accept: "application/json", post: Some(post), deadline };

        match call(&request, &access) {
            Ok(answer) => judge(&answer).map_err(|why| Error::transient(Kind::Source, fail()).because(why)),
            Err(NoAnswer { why, retry: Retry::Later }) => {
                Err(Error::transient(Kind::Source, fail()).because(why))
            }
            Err(NoAnswer { why, .. }) => Err(Error::new(Kind::Source, fail()).because(why)),
        }
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
}

/// RFC 6749's words for a refusal.
#[derive(Default, Deserialize)]
struct Refused {
    error: Option<String>,
    error_description: Option<String>,
}

/// What a token says of itself.
#[derive(Deserialize)]
struct Claims {
    exp: f64,
    sub: Option<String>,
}

/// The token of an answer, or why it is none.
fn judge(HttpAnswer { status, body, .. }: &HttpAnswer) -> std::result::Result<Token, String> {
    if *status != 200 {
        let Refused { error, error_description } = serde_json::from_slice(body).unwrap_or_default();
        let words: Vec<String> = error.into_iter().chain(error_description).collect();
        let hint = if matches!(status, 400 | 401) { ": is the client's id or secret wrong?" } else { "" };
        return Err(format!("HTTP {status} {:?}{hint}", words.join(": ")));
    }

    let granted: Granted = serde_json::from_slice(body).map_err(|_| "its answer has no access_token")?;
    let claims = granted.access_token.split('.').nth(1).and_then(|part| {
        let claims = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
        serde_json::from_slice::<Claims>(&claims).ok()
    });
    let Claims { exp, sub } = claims.ok_or("its token is no JWT with a time at which it ends (exp)")?;

    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let lifetime = Duration::try_from_secs_f64(exp).unwrap_or_default().saturating_sub(now);
    if lifetime.is_zero() {
        return Err("its token has ended already: is the clock right?".to_owned());
    }

    Ok(Token {
        text: granted.access_token,
        principal: sub.unwrap_or_else(|| "tickcast".to_owned()),
        expires_ms: (exp * 1000.0) as i64,
        renew_at: Instant::now() + lifetime.mul_f64(0.8),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u32, body: &str) -> HttpAnswer {
        HttpAnswer { status, body: body.as_bytes().to_vec(), location: None }
    }

    fn granted(claims: &str) -> HttpAnswer {
        answer(200, &format!("{{\"access_token\":\"h.{}.s\"}}", URL_SAFE_NO_PAD.encode(claims)))
    }

    #[test]
    fn a_token_says_whom_it_is_about_and_when_it_ends() {
        let token = judge(&granted("{\"sub\":\"me\",\"exp\":4102444800}")).map_err(|_| ()).unwrap();
        assert_eq!((token.principal.as_str(), token.expires_ms), ("me", 4_102_444_800_000));
        for (answer, expected) in [
            (granted("{\"exp\":1}"), "its token has ended already"),
            (granted("{\"sub\":\"me\"}"), "no JWT with a time at which it ends"),
            (granted("{\"exp\":1e300}"), "its token has ended already"),
            (answer(200, "{\"access_token\":\"opaque\"}"), "no JWT"),
            (answer(200, "<html>"), "its answer has no access_token"),
            (
                answer(401, "{\"error\":\"invalid_client\"}"),
                "HTTP 401 \"invalid_client\": is the client's id or",
            ),
            (answer(503, ""), "HTTP 503 \"\""),
        ] {
            let why = judge(&answer).map(|_| ()).unwrap_err();
            assert!(why.contains(expected), "{expected}: {why}");
        }
    }

    #[test]
    fn the_provider_s_properties_are_taken_out_of_what_librdkafka_gets() {
        let mut config = ClientConfig::new();
        config.set("client.id", "x");
        assert_eq!(Oidc::take(&mut config).unwrap(), None);
        config.set(METHOD, "oidc").set(ENDPOINT, "https://host/token").set(CLIENT_ID[1], "me");
        let missing = Oidc::take(&mut config.clone()).unwrap_err().to_string();
        assert!(missing.ends_with("oidc needs sasl.oauthbearer.client.secret"), "{missing}");
        config.set(CLIENT_SECRET[0], "hunter2").set(SCOPE, "kafka");
        let wrong =
            Oidc::take(config.clone().set("sasl.oauthbearer.grant.type", "jwt")).unwrap_err().to_string();
        assert!(wrong.ends_with("only client_credentials is built"), "{wrong}");

        let oidc = Oidc::take(&mut config).unwrap().unwrap();
        assert_eq!((oidc.client_id.as_str(), oidc.scope.as_deref()), ("me", Some("kafka")));
        assert!(!format!("{oidc:?}").contains("hunter2"));
        assert_eq!(config.config_map().keys().copied().collect::<Vec<_>>(), ["client.id"]);
    }
}
