//! A connection to a broker with its session: messages come, acknowledgements go.
//! It must not know what becomes of messages.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tickcast_stream::error::{Error, Kind, Result};

use super::outgoing::{DISCONNECT, PING, connect, put_acknowledgement, subscribe};
use super::packet::{Message, Packet, PacketReader};
use super::properties::Properties;
use super::reason::{of_connection, of_v5};
use super::spec::{MqttSpec, MqttVersion};
use super::stream::{ANSWER, Stream};

/// Within this time the broker hears something, or the connection is dead.
const KEEP_ALIVE_S: u16 = 30;
const READ_BYTES: usize = 64 << 10;
/// More than a broker sends before it answers a subscription.
const EARLY_MESSAGES: usize = 10_000;

/// A connection whose subscription stands.
pub(super) struct Connection {
    address: String,
    stream: Stream,
    reader: PacketReader,
    buffer: Vec<u8>,
    /// Messages of the session that came before the subscription's answer.
    early: VecDeque<Message>,
    keep_alive: Duration,
    sent: Instant,
    heard: Instant,
}

impl Connection {
    /// Connects, and subscribes unless `is_subscribed` already and the broker still has the
    /// session. Errors: `Source`, with the cause; all may pass.
    pub fn open(spec: &MqttSpec, is_subscribed: bool) -> Result<Self> {
        let address = spec.address();
        let stream = Stream::open(spec).map_err(|why| failed(&address, "cannot be reached", &why))?;
        let now = Instant::now();
        let mut connection = Connection {
            address,
            stream,
            reader: PacketReader::new(spec.version),
            buffer: vec![0; READ_BYTES],
            early: VecDeque::new(),
            keep_alive: Duration::from_secs(KEEP_ALIVE_S.into()),
            sent: now,
            heard: now,
        };

        let has_session = connection.log_in(spec)?;
        if !(has_session && is_subscribed) {
            connection.subscribe(spec)?;
        }
        Ok(connection)
    }

    /// Whether the broker has a session of this client.
    fn log_in(&mut self, spec: &MqttSpec) -> Result<bool> {
        let password = match &spec.password {
            None => None,
            Some(secret) => Some(secret.read().map_err(|why| {
                Error::transient(Kind::Source, "source.mqtt.password_file cannot be read").because(why)
            })?),
        };
        self.send(&connect(spec, password.as_deref(), KEEP_ALIVE_S))?;

        match self.answer()? {
            Packet::Connected { has_session, code: 0, properties } => {
                if let Some(seconds) = properties.keep_alive_s.filter(|seconds| *seconds > 0) {
                    self.keep_alive = Duration::from_secs(seconds.into());
                }
                Ok(has_session)
            }
            Packet::Connected { code, properties, .. } => {
                let why = of_connection(code, spec.version);
                Err(failed(&self.address, "refuses the connection", &with_words(why, &properties)))
            }
            _ => Err(self.strange()),
        }
    }

    fn subscribe(&mut self, spec: &MqttSpec) -> Result<()> {
        self.send(&subscribe(spec))?;
        let (codes, properties) = loop {
            match self.answer()? {
                Packet::Subscribed { codes, properties } => break (codes, properties),
                Packet::Message(message) if self.early.len() < EARLY_MESSAGES => {
                    self.early.push_back(message);
                }
                _ => return Err(self.strange()),
            }
        };

        if codes.len() != spec.topics.len() {
            return Err(self.strange());
        }
        for (topic, code) in spec.topics.iter().zip(codes) {
            let why = match code {
                1 | 2 => continue,
                0 => "it gives only quality of service 0, with which messages may be lost".to_owned(),
                _ if spec.version == MqttVersion::V311 => "it gives no reason".to_owned(),
                _ => of_v5(code),
            };
            let what = format!("refuses the subscription to {topic}");
            return Err(failed(&self.address, &what, &with_words(why, &properties)));
        }
        Ok(())
    }

    /// The next packet of those that begin a connection.
    fn answer(&mut self) -> Result<Packet> {
        match self.packet(ANSWER)? {
            Some(packet) => Ok(packet),
            None => Err(failed(&self.address, "does not answer", &format!("within {} s", ANSWER.as_secs()))),
        }
    }

    /// The next message, if one comes within the time. Errors: `Source`, when the connection has
    /// ended.
    pub fn message(&mut self, timeout: Duration) -> Result<Option<Message>> {
        if let Some(message) = self.early.pop_front() {
            return Ok(Some(message));
        }
        if self.sent.elapsed() >= self.keep_alive {
            self.send(&PING)?;
        }

        match self.packet(timeout)? {
            Some(Packet::Message(message)) => Ok(Some(message)),
            Some(Packet::Pong) => Ok(None),
            Some(Packet::Ended { code, properties }) => {
                Err(failed(&self.address, "has ended the connection", &with_words(of_v5(code), &properties)))
            }
            Some(_) => Err(self.strange()),
            None if self.heard.elapsed() > self.keep_alive * 2 => {
                Err(failed(&self.address, "is silent", "it does not even answer a ping"))
            }
            None => Ok(None),
        }
    }

    fn packet(&mut self, timeout: Duration) -> Result<Option<Packet>> {
        let until = Instant::now() + timeout;
        loop {
            match self.reader.next() {
                Ok(Some(packet)) => return Ok(Some(packet)),
                Ok(None) => {}
                Err(why) => return Err(failed(&self.address, "sends what is no MQTT", why)),
            }

            let left = until.saturating_duration_since(Instant::now());
            let read = self.stream.wait(left).and_then(|()| self.stream.read(&mut self.buffer));
            match read {
                Ok(Some(bytes)) => {
                    self.heard = Instant::now();
                    self.reader.push(&self.buffer[..bytes]);
                }
                Ok(None) if left.is_zero() || Instant::now() >= until => return Ok(None),
                Ok(None) => {}
                Err(why) => return Err(failed(&self.address, "is away", &why.to_string())),
            }
        }
    }

    /// Says which messages are kept.
    pub fn acknowledge(&mut self, ids: &[u16]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        ids.iter().for_each(|id| put_acknowledgement(&mut bytes, *id));
        self.send(&bytes)
    }

    /// Leaves in order; the session stays.
    pub fn leave(mut self) {
        // A broker that is away is left too.
        let _ = self.stream.write(&DISCONNECT);
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.sent = Instant::now();
        let written = self.stream.write(bytes);
        written.map_err(|why| failed(&self.address, "is away", &why.to_string()))
    }

    fn strange(&self) -> Error {
        failed(&self.address, "answers something else", "is it an MQTT broker?")
    }
}

fn failed(address: &str, what: &str, why: &str) -> Error {
    Error::transient(Kind::Source, format!("the MQTT broker {address} {what}: {why}"))
}

fn with_words(why: String, properties: &Properties) -> String {
    match &properties.reason {
        Some(words) => format!("{why} (\"{}\")", words.escape_debug()),
        None => why,
    }
}
