//! What the numbers mean with which a broker refuses.
//! It must not know what was asked for.

use super::spec::MqttVersion;

/// The words for the code of a refused connection, and what can be done.
pub(super) fn of_connection(code: u8, version: MqttVersion) -> String {
    let known = match (version, code) {
        (MqttVersion::V311, 1) | (MqttVersion::V5, 1 | 0x84) => {
            "it does not speak this version of MQTT; see source.mqtt.version"
        }
        (MqttVersion::V311, 2) | (MqttVersion::V5, 2 | 0x85) => "it does not take this client_id",
        (MqttVersion::V311, 3) => "it is not available",
        (MqttVersion::V311, 4) => "wrong username or password",
        (MqttVersion::V311, 5) => {
            "not authorized: it wants another username or password, or allows this one nothing"
        }
        (MqttVersion::V311, _) => return format!("it refuses with code {code}"),
        (MqttVersion::V5, _) => return of_v5(code),
    };
    known.to_owned()
}

/// The words for a code of MQTT 5, section 2.4.
pub(super) fn of_v5(code: u8) -> String {
    // Those that a subscriber can get.
    let known = match code {
        0x80 => "it gives no reason",
        0x81 => "it could not read a packet",
        0x82 => "a packet was against the protocol",
        0x83 => "it refuses for a reason of its own",
        0x86 => "wrong username or password",
        0x87 => "not authorized: it wants another username or password, or allows this one nothing",
        0x88 => "it is not available",
        0x89 => "it is busy",
        0x8a => "this client is banned",
        0x8b => "it is shutting down",
        0x8d => "it has heard nothing for too long",
        0x8e => "another client has the same client_id, and has taken the session over",
        0x8f => "it does not take this topic filter",
        0x93 => "more is under way than it allows",
        0x95 => "a packet is larger than it allows",
        0x97 => "a quota is used up",
        0x9b => "it does not give quality of service 1",
        0x9e => "it has no shared subscriptions",
        0x9f => "there are too many connections in too short a time",
        0xa2 => "it has no wildcards in subscriptions",
        _ => return format!("it refuses with code 0x{code:02x}"),
    };

    known.to_owned()
}
