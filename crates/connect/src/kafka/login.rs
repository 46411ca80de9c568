//! How a client shows who it is, and goes on to when that changes: a password in a file, or a token
//! that ends.
//! It must not know what the client is for.

use std::ffi::{CStr, CString};
use std::ptr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::admin::AdminClient;
use rdkafka::bindings::{
    rd_kafka_error_destroy, rd_kafka_oauthbearer_set_token, rd_kafka_sasl_set_credentials,
};
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::{RDKafka, RDKafkaRespErr};
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::lock::lock;

use super::config::{client_config, read_secrets};
use super::oidc::{Oidc, Token};
use super::spec::KafkaClientSpec;

/// Between two looks at the files.
const EVERY: Duration = Duration::from_secs(2);
const USERNAME: &str = "sasl.username";
const PASSWORD: &str = "sasl.password";

/// A client of librdkafka.
pub trait NativeClient {
    /// The library's own; it lives as long as `self`.
    fn native(&self) -> *mut RDKafka;
}

impl<C: ConsumerContext> NativeClient for BaseConsumer<C> {
    fn native(&self) -> *mut RDKafka {
        self.client().native_ptr()
    }
}

impl<C: ProducerContext> NativeClient for BaseProducer<C> {
    fn native(&self) -> *mut RDKafka {
        self.client().native_ptr()
    }
}

impl<C: ProducerContext + 'static> NativeClient for ThreadedProducer<C> {
    fn native(&self) -> *mut RDKafka {
        self.client().native_ptr()
    }
}

impl<C: ClientContext> NativeClient for AdminClient<C> {
    fn native(&self) -> *mut RDKafka {
        self.inner().native_ptr()
    }
}

/// The login of one client that lives long.
#[derive(Debug)]
pub struct Login {
    client: KafkaClientSpec,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: Instant,
    credentials: (Option<String>, Option<String>),
    renew_token_at: Option<Instant>,
}

impl Login {
    /// The login of a client that is about to be made: in this order no change is missed.
    pub fn of(client: &KafkaClientSpec) -> Self {
        let config = client_config(client, &[]);
        let next = Instant::now() + EVERY;
        let has_oidc = Oidc::take(&mut config.clone()).is_ok_and(|oidc| oidc.is_some());

        let state =
            State { next, credentials: credentials(&config), renew_token_at: has_oidc.then_some(next) };
        Login { client: client.clone(), state: Mutex::new(state) }
    }

    /// The login of the client that takes this one's place, and its secrets as they are now.
    pub fn of_next(&self, config: &mut ClientConfig) -> Self {
        let next = Login::of(&self.client);
        read_secrets(config, &self.client);
        next
    }

    /// Looks from time to time whether the password in a file has changed, or the token is about to
    /// end, and lets the client know. What cannot be read now is looked at again.
    pub fn renew(&self, client: &impl NativeClient) {
        let now = Instant::now();
        let mut state = lock(&self.state);
        if now < state.next {
            return;
        }
        state.next = now + EVERY;

        let mut config = client_config(&self.client, &[]);
        let current = credentials(&config);
        if let (Some(username), Some(password)) = &current
            && current != state.credentials
        {
            match set_credentials(client, username, password) {
                Ok(()) => tracing::info!("{USERNAME} and {PASSWORD} have changed: they count from now on"),
                Err(error) => tracing::warn!(%error, "the login has changed and cannot be used"),
            }
            state.credentials = current;
        }

        if state.renew_token_at.is_some_and(|at| at <= now) {
            state.renew_token_at = Some(renewed(client, &mut config).unwrap_or_else(|error| {
                tracing::warn!(%error, "no new token: the one that is there counts until it ends");
                now + EVERY
            }));
        }
    }
}

fn credentials(config: &ClientConfig) -> (Option<String>, Option<String>) {
    let value = |name| config.get(name).map(str::to_owned);
    (value(USERNAME), value(PASSWORD))
}

/// Gives a client the newest token, and returns when it is to get another one.
fn renewed(client: &impl NativeClient, config: &mut ClientConfig) -> Result<Instant> {
    let Some(oidc) = Oidc::take(config)? else { return Ok(Instant::now() + EVERY) };
    let token = oidc.token()?;
    set_token(client, &token)?;
    Ok(token.renew_at)
}

#[expect(unsafe_code, reason = "librdkafka's call has no safe wrapper")]
fn set_credentials(client: &impl NativeClient, username: &str, password: &str) -> Result<()> {
    let (username, password) = (c_text(username)?, c_text(password)?);
    // SAFETY: the client lives as long as `client`. The library copies the texts; an error would be
    // ours.
    let error =
        unsafe { rd_kafka_sasl_set_credentials(client.native(), username.as_ptr(), password.as_ptr()) };

    if error.is_null() {
        return Ok(());
    }
    // SAFETY: it is an error of the library that nobody else has.
    unsafe { rd_kafka_error_destroy(error) };
    Err(Error::new(Kind::Source, "librdkafka does not take a new login"))
}

/// Gives a client a token. Errors: `Source`, where librdkafka does not take it.
#[expect(unsafe_code, reason = "librdkafka's call has no safe wrapper")]
pub(super) fn set_token(client: &impl NativeClient, token: &Token) -> Result<()> {
    let (text, principal) = (c_text(&token.text)?, c_text(&token.principal)?);
    let mut why = [0; 512];
    // SAFETY: the client lives as long as `client`. The library copies the texts, and writes no
    // more than the length of `why` that it is told.
    let code = unsafe {
        rd_kafka_oauthbearer_set_token(
            client.native(),
            text.as_ptr(),
            token.expires_ms,
            principal.as_ptr(),
            ptr::null_mut(),
            0,
            why.as_mut_ptr(),
            why.len(),
        )
    };

    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: the library ends what it writes with a zero.
    let why = unsafe { CStr::from_ptr(why.as_ptr()) }.to_string_lossy().into_owned();
    Err(Error::new(Kind::Source, "librdkafka does not take the token").because(why))
}

fn c_text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::new(Kind::Config, "a login has a zero byte"))
}
