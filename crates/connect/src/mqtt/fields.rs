//! The fields that MQTT's packets are made of, read from bytes that may end anywhere.
//! It must not know packets.

/// Why bytes are no packet.
pub(super) type Malformed = &'static str;

/// What is left of a packet.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// So many bytes.
    pub fn take(&mut self, bytes: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or("it ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    /// A whole number of two bytes.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Bytes with their length before them.
    pub fn binary(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u16()?;
        self.take(length.into())
    }

    /// A text with its length before it.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.binary()?).map_err(|_| "a text is not UTF-8")
    }

    /// A whole number of one to four bytes.
    pub fn varint(&mut self) -> Result<usize, Malformed> {
        match varint(self.0) {
            Ok(Some((number, bytes))) => {
                self.0 = &self.0[bytes..];
                Ok(number)
            }
            Ok(None) => Err("it ends too early"),
            Err(why) => Err(why),
        }
    }
}

/// A whole number of one to four bytes, and how many it has; none, where the bytes end before it.
pub(super) fn varint(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut number = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((number, at + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err("a length has more than four bytes") }
}

/// Appends a whole number of at most 268,435,455.
pub(super) fn put_varint(buffer: &mut Vec<u8>, mut number: usize) {
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        buffer.push(if number > 0 { byte | 0x80 } else { byte });
        if number == 0 {
            return;
        }
    }
}

/// Appends bytes with their length before them. What is longer than that can say is checked before.
pub(super) fn put_binary(buffer: &mut Vec<u8>, bytes: &[u8]) {
    let length = bytes.len().min(usize::from(u16::MAX));
    buffer.extend((length as u16).to_be_bytes());
    buffer.extend_from_slice(&bytes[..length]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bounds of each length, by table 1-1 of MQTT 5.
    #[test]
    fn lengths_are_read_as_they_are_written() {
        for (number, bytes) in [
            (0, 1),
            (127, 1),
            (128, 2),
            (16_383, 2),
            (16_384, 3),
            (2_097_151, 3),
            (2_097_152, 4),
            (268_435_455, 4),
        ] {
            let mut buffer = Vec::new();
            put_varint(&mut buffer, number);
            assert_eq!(varint(&buffer), Ok(Some((number, bytes))));
            assert_eq!(varint(&buffer[..bytes - 1]), Ok(None));
        }
        assert!(varint(&[0x80, 0x80, 0x80, 0x80]).is_err());
    }
}
