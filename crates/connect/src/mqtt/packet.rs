//! The packets that a subscriber reads, out of bytes as they come.
//! It must not read a socket.

use bytes::{Buf, Bytes, BytesMut};

use super::fields::{Fields, Malformed, varint};
use super::properties::{self, Properties};
use super::spec::MqttVersion;
use crate::decode::MAX_RECORD_BYTES;

/// The bytes of a packet that are kept: a record of the largest size that is taken, a topic, and
/// far more properties than anybody sends.
const KEPT_BYTES: usize = MAX_RECORD_BYTES + (256 << 10);

/// A packet of the broker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// The answer to a connection.
    Connected {
        /// Whether the broker has a session of this client.
        has_session: bool,
        /// 0: it takes it.
        code: u8,
        properties: Properties,
    },
    /// The answer to a subscription: a code for each topic.
    Subscribed { codes: Vec<u8>, properties: Properties },
    /// A message.
    Message(Message),
    /// The answer to a ping.
    Pong,
    /// The broker ends the connection.
    Ended { code: u8, properties: Properties },
}

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub topic: String,
    /// What an acknowledgement has to name; none: it wants none.
    pub id: Option<u16>,
    pub properties: Properties,
    pub payload: Bytes,
    /// The bytes that the payload had, where this is only its beginning.
    pub cut_from: Option<u64>,
}

/// Takes bytes and gives packets.
pub(super) struct PacketReader {
    version: MqttVersion,
    bytes: BytesMut,
    /// Bytes still to come of a packet that was too large to be kept whole.
    skip: usize,
}

impl PacketReader {
    /// One that has got nothing yet.
    pub fn new(version: MqttVersion) -> Self {
        PacketReader { version, bytes: BytesMut::new(), skip: 0 }
    }

    /// Takes what came.
    pub fn push(&mut self, mut bytes: &[u8]) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        bytes = &bytes[skipped..];
        self.bytes.extend_from_slice(bytes);
    }

    /// The next packet, if its bytes are there.
    pub fn next(&mut self) -> Result<Option<Packet>, Malformed> {
        let Some((kind, rest)) = self.bytes.split_first() else { return Ok(None) };
        let (kind, Some((length, length_bytes))) = (*kind, varint(rest)?) else { return Ok(None) };
        if length > KEPT_BYTES && kind >> 4 != 3 {
            return Err("a packet that is no message is too large");
        }
        let head = 1 + length_bytes;
        let kept = length.min(KEPT_BYTES);
        if self.bytes.len() < head + kept {
            return Ok(None);
        }

        self.bytes.advance(head);
        let body = self.bytes.split_to(kept).freeze();
        let too_much = length - kept;
        let here = too_much.min(self.bytes.len());
        self.bytes.advance(here);
        self.skip = too_much - here;
        read(kind, &body, too_much, self.version).map(Some)
    }
}

/// A packet by its kind and its body, behind which `more` bytes are cut off.
fn read(kind: u8, body: &Bytes, more: usize, version: MqttVersion) -> Result<Packet, Malformed> {
    let mut fields = Fields(body);
    let is_v5 = version == MqttVersion::V5;
    let properties = |fields: &mut Fields<'_>| {
        let has_some = is_v5 && !fields.0.is_empty();
        if has_some { properties::read(fields) } else { Ok(Properties::default()) }
    };

    match kind >> 4 {
        2 => {
            let has_session = fields.byte()? & 1 == 1;
            let code = fields.byte()?;
            Ok(Packet::Connected { has_session, code, properties: properties(&mut fields)? })
        }
        3 => message(kind, body, more, is_v5).map(Packet::Message),
        9 => {
            fields.u16()?;
            let properties = properties(&mut fields)?;
            Ok(Packet::Subscribed { codes: fields.0.to_vec(), properties })
        }
        13 => Ok(Packet::Pong),
        14 => {
            let code = if fields.0.is_empty() { 0 } else { fields.byte()? };
            Ok(Packet::Ended { code, properties: properties(&mut fields)? })
        }
        _ => Err("it is of a kind that a subscriber does not get"),
    }
}

fn message(kind: u8, body: &Bytes, more: usize, is_v5: bool) -> Result<Message, Malformed> {
    let mut fields = Fields(body);
    let topic = fields.text()?.to_owned();
    let id = match kind >> 1 & 3 {
        0 => None,
        1 => Some(fields.u16()?),
        _ => return Err("it has another quality of service than was asked for"),
    };
    let properties = if is_v5 { properties::read(&mut fields)? } else { Properties::default() };
    let payload = body.slice_ref(fields.0);

    let length = payload.len() + more;
    if length > MAX_RECORD_BYTES {
        // Its beginning with one byte too many says that it is too large.
        let payload = Bytes::copy_from_slice(&payload[..payload.len().min(MAX_RECORD_BYTES + 1)]);
        if payload.len() <= MAX_RECORD_BYTES {
            return Err("its properties are too large");
        }
        return Ok(Message { topic, id, properties, payload, cut_from: Some(length as u64) });
    }
    Ok(Message { topic, id, properties, payload, cut_from: None })
}

/// How many packets these bytes are, up to what is none: for tests that try foreign bytes.
pub fn packets(bytes: &[u8], version: MqttVersion, piece: usize) -> (usize, bool) {
    let mut reader = PacketReader::new(version);
    let mut count = 0;

    for piece in bytes.chunks(piece.max(1)) {
        reader.push(piece);
        loop {
            match reader.next() {
                Ok(Some(_)) => count += 1,
                Ok(None) => break,
                Err(_) => return (count, false),
            }
        }
    }
    (count, true)
}

#[cfg(test)]
mod tests {
    use super::super::fields::{put_binary, put_varint};
    use super::*;

    fn publish(id: u16, payload: &[u8], properties: Option<&[u8]>) -> Vec<u8> {
        let mut body = Vec::new();
        put_binary(&mut body, b"a/b");
        body.extend(id.to_be_bytes());
        if let Some(properties) = properties {
            put_varint(&mut body, properties.len());
            body.extend_from_slice(properties);
        }
        body.extend_from_slice(payload);
        let mut bytes = vec![0x32];
        put_varint(&mut bytes, body.len());
        bytes.extend(body);
        bytes
    }

    fn all(bytes: &[u8], version: MqttVersion, piece: usize) -> Result<Vec<Packet>, Malformed> {
        let mut reader = PacketReader::new(version);
        let mut packets = Vec::new();
        for piece in bytes.chunks(piece) {
            reader.push(piece);
            while let Some(packet) = reader.next()? {
                packets.push(packet);
            }
        }
        Ok(packets)
    }

    #[test]
    fn packets_are_the_same_in_whatever_pieces_they_come() {
        let mut properties = vec![0x01, 1, 0x02, 0, 0, 0, 9, 0x0b, 0x80, 0x01, 0x26];
        put_binary(&mut properties, b"unit");
        put_binary(&mut properties, "°C".as_bytes());
        let bytes = [
            &b"\x20\x08\x01\x00\x05\x13\x00\x07\x25\x01"[..],
            b"\x90\x05\x00\x01\x00\x01\x87",
            &publish(7, b"{}", Some(&properties)),
            b"\xd0\x00",
            b"\x30\x06\x00\x01t\x00hi",
            b"\xe0\x01\x8e",
        ]
        .concat();
        let whole = all(&bytes, MqttVersion::V5, bytes.len()).unwrap();
        let kept = Properties { keep_alive_s: Some(7), ..Properties::default() };
        assert_eq!(whole[0], Packet::Connected { has_session: true, code: 0, properties: kept });
        assert!(matches!(&whole[1], Packet::Subscribed { codes, .. } if codes == &[1, 0x87]));
        let Packet::Message(message) = &whole[2] else { panic!("{:?}", whole[2]) };
        assert_eq!((message.topic.as_str(), message.id, &message.payload[..]), ("a/b", Some(7), &b"{}"[..]));
        assert_eq!(message.properties.user, [("unit".to_owned(), "°C".to_owned())]);
        assert!(matches!(&whole[4], Packet::Message(Message { id: None, payload, .. }) if payload == "hi"));
        assert!(matches!(whole[5], Packet::Ended { code: 0x8e, .. }) && whole[3] == Packet::Pong);
        for piece in [1, 2, 3, 7] {
            assert_eq!(all(&bytes, MqttVersion::V5, piece).unwrap(), whole);
        }
    }

    #[test]
    fn of_a_message_that_is_too_large_the_beginning_is_kept_and_what_follows_is_read() {
        for bytes in [MAX_RECORD_BYTES, MAX_RECORD_BYTES + 1, KEPT_BYTES + 1, 10 << 20] {
            let sent = [publish(1, &vec![b'x'; bytes], None), publish(2, b"y", None)].concat();
            for piece in [sent.len(), 65_536] {
                let packets = all(&sent, MqttVersion::V311, piece).unwrap();
                let [Packet::Message(large), Packet::Message(small)] = &packets[..] else { panic!() };
                let is_cut = bytes > MAX_RECORD_BYTES;
                assert_eq!(large.cut_from, is_cut.then_some(bytes as u64));
                assert_eq!(large.payload.len(), bytes.min(MAX_RECORD_BYTES + 1));
                assert_eq!((small.id, &small.payload[..]), (Some(2), &b"y"[..]));
            }
        }
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        let refused: [&[u8]; 7] = [
            b"\x32\xff\xff\xff\xff",
            b"\x90\xff\xff\xff\x7f",
            b"\x10\x00",
            b"\x34\x07\x00\x01t\x00\x01hi",
            b"\x32\x02\x00\x09",
            b"\x30\x04\x00\x02\xff\xfe",
            b"\x20\x01\x00",
        ];
        for bytes in refused {
            assert!(all(bytes, MqttVersion::V311, 3).is_err(), "{}", bytes.escape_ascii());
        }
        assert!(all(&publish(1, b"", Some(&[0x7e])), MqttVersion::V5, 9).is_err());
        assert!(all(&publish(1, b"", None), MqttVersion::V5, 9).is_err());
    }
}
