//! MQTT: the part of a client that a subscriber needs, in version 3.1.1 and 5.
//! It must not know the log that messages go to, nor decode them.
//!
//! It is a client of its own, blocking and small, for three reasons: an acknowledgement has to wait
//! for the log and to die with its connection, no asynchronous runtime is to come into this crate,
//! and TLS is to be that of the OpenSSL which Kafka's client is built with. A subscriber sends five
//! kinds of packets and reads six.

mod connection;
mod fields;
mod outgoing;
mod packet;
mod properties;
mod reason;
mod session;
mod spec;
mod stream;

pub use packet::packets;
pub use session::{IngestWatch, ingest_mqtt};
pub use spec::{MqttSpec, MqttVersion};
