//! The packets that a subscriber sends.
//! It must not read packets.

use super::fields::{put_binary, put_varint};
use super::spec::{MqttSpec, MqttVersion};

/// A session that never ends, in MQTT 5: the broker keeps what comes while nobody is there.
const FOREVER: u32 = u32::MAX;
/// The number of the one subscription of a connection.
pub(super) const SUBSCRIPTION: u16 = 1;
pub(super) const PING: [u8; 2] = [0xc0, 0];
pub(super) const DISCONNECT: [u8; 2] = [0xe0, 0];

/// Asks for the session that this client has, or a new one.
pub(super) fn connect(spec: &MqttSpec, password: Option<&str>, keep_alive_s: u16) -> Vec<u8> {
    let mut body = Vec::new();
    put_binary(&mut body, b"MQTT");
    body.push(match spec.version {
        MqttVersion::V311 => 4,
        MqttVersion::V5 => 5,
    });
    let (user, secret) = (spec.username.is_some(), password.is_some());
    // Clean session (clean start) is not set: the broker's session goes on.
    body.push(u8::from(user) << 7 | u8::from(secret) << 6);
    body.extend(keep_alive_s.to_be_bytes());
    if spec.version == MqttVersion::V5 {
        body.extend([5, 0x11]);
        body.extend(FOREVER.to_be_bytes());
    }

    put_binary(&mut body, spec.client_id.as_bytes());
    spec.username.iter().for_each(|name| put_binary(&mut body, name.as_bytes()));
    password.into_iter().for_each(|word| put_binary(&mut body, word.as_bytes()));
    packet(0x10, &body)
}

/// Asks for all topics with quality of service 1.
pub(super) fn subscribe(spec: &MqttSpec) -> Vec<u8> {
    let mut body = SUBSCRIPTION.to_be_bytes().to_vec();
    if spec.version == MqttVersion::V5 {
        body.push(0);
    }
    for topic in &spec.topics {
        put_binary(&mut body, topic.as_bytes());
        body.push(1);
    }
    packet(0x82, &body)
}

/// Says that a message is kept: the broker need not send it again.
pub(super) fn put_acknowledgement(buffer: &mut Vec<u8>, id: u16) {
    buffer.extend([0x40, 2]);
    buffer.extend(id.to_be_bytes());
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    put_varint(&mut bytes, body.len());
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(version: MqttVersion) -> MqttSpec {
        MqttSpec {
            host: "h".into(),
            port: 1883,
            has_tls: false,
            ca_file: None,
            topics: vec!["a/+".into(), "b".into()],
            client_id: "me".into(),
            username: Some("u".into()),
            password: None,
            version,
        }
    }

    /// Byte by byte as the two standards have them, in sections 3.1 and 3.8.
    #[test]
    fn packets_are_as_the_standards_say() {
        let connect_311 = b"\x10\x14\x00\x04MQTT\x04\xc0\x00\x1e\x00\x02me\x00\x01u\x00\x01p";
        assert_eq!(connect(&spec(MqttVersion::V311), Some("p"), 30), connect_311);
        let connect_5 = b"\x10\x17\x00\x04MQTT\x05\x80\x00\x1e\x05\x11\xff\xff\xff\xff\x00\x02me\x00\x01u";
        assert_eq!(connect(&spec(MqttVersion::V5), None, 30), connect_5);
        assert_eq!(subscribe(&spec(MqttVersion::V311)), b"\x82\x0c\x00\x01\x00\x03a/+\x01\x00\x01b\x01");
        assert_eq!(subscribe(&spec(MqttVersion::V5)), b"\x82\x0d\x00\x01\x00\x00\x03a/+\x01\x00\x01b\x01");
        let mut both = Vec::new();
        [1, 0x1234].into_iter().for_each(|id| put_acknowledgement(&mut both, id));
        assert_eq!(both, b"\x40\x02\x00\x01\x40\x02\x12\x34");
    }
}
