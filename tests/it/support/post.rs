//! A client that posts records, and can do it badly. The file must not know who takes them.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::wait::PATIENCE;

/// An answer to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// Posts a body. Errors: where the server is away, or ends before it answers.
pub fn post(address: &str, path: &str, headers: &[&str], body: &[u8]) -> io::Result<Answer> {
    let length = format!("Content-Length: {}", body.len());
    let headers: Vec<&str> = headers.iter().copied().chain([length.as_str()]).collect();
    ask(address, &format!("POST {path}"), &headers, body)
}

/// Sends a request that is exactly this.
pub fn ask(address: &str, request: &str, headers: &[&str], body: &[u8]) -> io::Result<Answer> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    write!(socket, "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n")?;
    // A server that has answered need not take the rest.
    let sent = socket.write_all(body);
    let mut bytes = Vec::new();
    let read = socket.read_to_end(&mut bytes);
    if bytes.is_empty() {
        sent?;
        read?;
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").ok_or(ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Answer { status: status.ok_or(ErrorKind::InvalidData)?, head: head.to_owned(), body: body.to_owned() })
}

/// Posts until it is answered that the body is durable, wherever the server is then. How many
/// attempts that took.
pub fn post_until_taken(address: &dyn Fn() -> String, path: &str, body: &[u8]) -> usize {
    for attempt in 1.. {
        match post(&address(), path, &[], body) {
            Ok(Answer { status: 204, .. }) => return attempt,
            Ok(Answer { status: 503, .. }) | Err(_) => std::thread::sleep(Duration::from_millis(50)),
            Ok(other) => panic!("{other:?}"),
        }
    }
    unreachable!("attempts do not end")
}
