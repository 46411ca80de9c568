//! The token that senders show.
//! It must not be shown itself.

use std::hint::black_box;
use std::io;

use crate::secret::Secret;

/// Whether the value of an `Authorization` header shows the token: `Bearer TOKEN`, or `Token TOKEN`
/// as InfluxDB's clients say. The time that it takes says nothing of where the two differ. Errors:
/// when the token's file cannot be read, or is empty.
pub fn shows_token(token: &Secret, header: Option<&[u8]>) -> io::Result<bool> {
    let token = token.read()?;
    if token.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty"));
    }

    let shown = header.and_then(|header| {
        let at = header.iter().position(|byte| *byte == b' ')?;
        let is_scheme =
            [&b"bearer"[..], b"token"].iter().any(|scheme| header[..at].eq_ignore_ascii_case(scheme));
        is_scheme.then(|| header[at..].trim_ascii())
    });
    Ok(shown.is_some_and(|shown| are_equal(shown, token.as_bytes())))
}

/// Looks at all bytes, whatever it has found.
fn are_equal(shown: &[u8], token: &[u8]) -> bool {
    let mut differing = u8::from(shown.len() != token.len());
    for (at, byte) in shown.iter().enumerate() {
        differing |= black_box(byte ^ token[at % token.len()]);
    }
    black_box(differing) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_good() {
        let token = Secret::text("s3cret");
        let shows = |header: &str| shows_token(&token, Some(header.as_bytes())).unwrap();
        for good in ["Bearer s3cret", "bearer  s3cret", "Token s3cret"] {
            assert!(shows(good), "{good}");
        }
        for bad in
            ["", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3crets3cret", "Bearer S3cret", "Basic s3cret"]
        {
            assert!(!shows(bad), "{bad}");
        }
        assert!(!shows_token(&token, None).unwrap());
        assert!(shows_token(&Secret::text(""), Some(b"Bearer ")).is_err());
    }
}
