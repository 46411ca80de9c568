//! The bytes to a broker and from it, with and without TLS.
//! It must not know packets.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use openssl::ssl::{HandshakeError, SslConnector, SslMethod, SslStream};
use openssl::x509::X509VerifyResult;

use super::spec::MqttSpec;

/// For the connection, and for the broker's answers that begin it.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// A connection.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(SslStream<TcpStream>),
}

impl Stream {
    /// Reaches the broker. Errors: why not, for a person.
    pub fn open(spec: &MqttSpec) -> Result<Stream, String> {
        let addresses = (spec.host.as_str(), spec.port).to_socket_addrs();
        let addresses = addresses.map_err(|why| format!("its name is not known: {why}"))?;
        let mut refused = "its name has no address".to_owned();
        for address in addresses {
            let socket = match TcpStream::connect_timeout(&address, ANSWER) {
                Ok(socket) => socket,
                Err(why) => {
                    refused = why.to_string();
                    continue;
                }
            };

            let prepared = socket
                .set_nodelay(true)
                .and_then(|()| socket.set_read_timeout(Some(ANSWER)))
                .and_then(|()| socket.set_write_timeout(Some(ANSWER)));
            prepared.map_err(|why| why.to_string())?;
            return if spec.has_tls { shake_hands(spec, socket) } else { Ok(Stream::Plain(socket)) };
        }
        Err(refused)
    }

    /// How long a read waits from now on.
    pub fn wait(&self, timeout: Duration) -> io::Result<()> {
        let socket = match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => stream.get_ref(),
        };
        // Zero would be for ever.
        socket.set_read_timeout(Some(timeout.max(Duration::from_millis(1))))
    }

    /// The bytes that are there; none, when nothing has come in time. Errors: also when the broker
    /// has closed the connection.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let read = match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        };
        match read {
            Ok(0) => Err(io::Error::new(ErrorKind::UnexpectedEof, "it has closed the connection")),
            Ok(bytes) => Ok(Some(bytes)),
            Err(why) if is_nothing_yet(&why) => Ok(None),
            Err(why) => Err(why),
        }
    }

    /// Sends all of them.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes),
        }
    }
}

fn is_nothing_yet(why: &io::Error) -> bool {
    matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn shake_hands(spec: &MqttSpec, socket: TcpStream) -> Result<Stream, String> {
    let connector = connector(spec.ca_file.as_deref())?;
    let handshake = connector.connect(&spec.host, socket);
    handshake.map(Stream::Tls).map_err(|error| handshake_fault(&error))
}

fn connector(ca_file: Option<&Path>) -> Result<SslConnector, String> {
    let mut builder = SslConnector::builder(SslMethod::tls()).map_err(|why| why.to_string())?;
    let is_read = match ca_file {
        Some(file) => builder.set_ca_file(file),
        None => {
            // The OpenSSL that is linked in does not know where this system keeps them.
            let system = openssl_probe::probe();
            builder.load_verify_locations(system.cert_file.as_deref(), system.cert_dir.as_deref())
        }
    };

    is_read
        .map_err(|_| "no certificate can be read from source.mqtt.ca_file, or of the system".to_owned())?;
    Ok(builder.build())
}

/// What went wrong, and where that can be changed.
fn handshake_fault(error: &HandshakeError<TcpStream>) -> String {
    let HandshakeError::Failure(stream) = error else {
        return format!("it does not answer in TLS within {} s", ANSWER.as_secs());
    };
    let verified = stream.ssl().verify_result();
    if verified != X509VerifyResult::OK {
        let why = verified.error_string();
        return format!("its certificate is not believed: {why}; see source.mqtt.ca_file");
    }
    format!("no TLS with it: {}; is mqtts:// right?", stream.error())
}
