//! An OpenID provider on loopback that knows one client, and whose tokens nobody has signed. The file
//! must not know who shows them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::base64::encode_block;

/// Whom it knows.
pub const CLIENT: &str = "tickcast";
pub const CLIENT_SECRET: &str = "client-secret-9";

/// The provider; its thread ends with the test process.
pub struct TokenServer {
    port: u16,
    granted: Arc<AtomicUsize>,
}

impl TokenServer {
    /// Its tokens count for so many seconds.
    pub fn start(lifetime_s: u64) -> TokenServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let granted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&granted);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if answer(stream, lifetime_s).is_some_and(|granted| granted) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        TokenServer { port, granted }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/token", self.port)
    }

    /// How many tokens it has given out.
    pub fn granted(&self) -> usize {
        self.granted.load(Ordering::Relaxed)
    }
}

fn answer(stream: TcpStream, lifetime_s: u64) -> Option<bool> {
    let mut stream = BufReader::new(stream);
    let (mut login, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) =
            line.trim_end().split_once(": ").map(|(n, v)| (n.to_lowercase(), v.to_owned()))
        else {
            if line.starts_with("POST ") {
                continue;
            }
            break;
        };
        match name.as_str() {
            "authorization" => login = value,
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;

    let expected = format!("Basic {}", encode_block(format!("{CLIENT}:{CLIENT_SECRET}").as_bytes()));
    let is_known = login == expected && body.starts_with(b"grant_type=client_credentials");
    let (status, text) = if is_known {
        ("200 OK", format!(r#"{{"access_token":"{}","token_type":"Bearer"}}"#, token(lifetime_s)))
    } else {
        ("401 Unauthorized", r#"{"error":"invalid_client","error_description":"no such client"}"#.to_owned())
    };
    let length = text.len();
    write!(
        stream.get_mut(),
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    )
    .ok()?;
    Some(is_known)
}

/// A JWT without a signature, which Kafka's own validator takes.
fn token(lifetime_s: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let part = |text: &str| {
        let text = encode_block(text.as_bytes());
        text.trim_end_matches('=').replace('+', "-").replace('/', "_")
    };
    let claims = format!(r#"{{"sub":"{CLIENT}","iat":{now},"exp":{}}}"#, now + lifetime_s);
    format!("{}.{}.", part(r#"{"alg":"none"}"#), part(&claims))
}
