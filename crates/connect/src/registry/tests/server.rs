//! A registry's impostor on loopback, which answers as a test says. The file must not know what is
//! right.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use openssl::pkey::PKey;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::X509;
use tickcast_stream::lock::lock;

use super::certificates::Identity;

/// What a client has sent.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// `GET /schemas/ids/7`.
    pub line: String,
    /// The value of `Authorization`, if there is one.
    pub login: Option<String>,
    pub body: String,
}

/// What it is told.
pub enum Reply {
    /// A status and a body.
    Says(u16, String),
    /// It is sent elsewhere.
    SentTo(String),
    /// A body that never ends.
    Endless,
    /// A body of which a byte comes now and then.
    Drip,
    /// Nothing, and the connection stays.
    Silence,
    /// Nothing, and the connection is closed.
    HangUp,
}

/// A server; its threads end with the test process.
pub struct Server {
    port: u16,
    scheme: &'static str,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        Server::listen(None, answer)
    }

    pub fn with_tls(identity: &Identity, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
        let key = PKey::private_key_from_pem(identity.key.as_bytes()).unwrap();
        acceptor.set_private_key(&key).unwrap();
        acceptor.set_certificate(&X509::from_pem(identity.certificate.as_bytes()).unwrap()).unwrap();
        Server::listen(Some(acceptor.build()), answer)
    }

    fn listen(tls: Option<SslAcceptor>, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (asked, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tls, answer, seen) = (tls.clone(), Arc::clone(&answer), Arc::clone(&seen));
                thread::spawn(move || match tls {
                    // A client that does not believe us hangs up.
                    Some(tls) => drop(tls.accept(stream).map(|stream| serve(stream, &*answer, &seen))),
                    None => serve::<TcpStream>(stream, &*answer, &seen),
                });
            }
        });
        Server { port, scheme, asked }
    }

    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// What it has been asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.asked).clone()
    }
}

fn serve<S: Read + Write>(stream: S, answer: &dyn Fn(&Asked) -> Reply, seen: &Mutex<Vec<Asked>>) {
    let mut stream = BufReader::new(stream);
    let Some(asked) = read(&mut stream) else {
        let _ = write(stream.get_mut(), Reply::Says(400, "no HTTP".to_owned()));
        return;
    };
    lock(seen).push(asked.clone());
    let reply = answer(&asked);
    // The client may have gone.
    let _ = write(stream.get_mut(), reply);
}

fn read(stream: &mut impl BufRead) -> Option<Asked> {
    let mut asked = Asked::default();
    let mut length = 0;
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    asked.line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    loop {
        line.clear();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => asked.login = Some(value.to_owned()),
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
    }

    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    asked.body = String::from_utf8(body).unwrap();
    Some(asked)
}

fn write(stream: &mut impl Write, reply: Reply) -> std::io::Result<()> {
    let head = |status: u16, length: usize| {
        format!("HTTP/1.1 {status} Words\r\nContent-Length: {length}\r\nConnection: close\r\n")
    };
    match reply {
        Reply::Says(status, body) => write!(stream, "{}\r\n{body}", head(status, body.len()))?,
        Reply::SentTo(place) => write!(stream, "{}Location: {place}\r\n\r\n", head(302, 0))?,
        Reply::Endless => {
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                stream.write_all(&[b'x'; 1 << 16])?;
            }
        }
        Reply::Drip => {
            write!(stream, "{}\r\n", head(200, 1000))?;
            loop {
                stream.write_all(b"x")?;
                stream.flush()?;
                thread::sleep(Duration::from_millis(20));
            }
        }
        Reply::Silence => loop {
            thread::park();
        },
        Reply::HangUp => {}
    }
    stream.flush()
}
