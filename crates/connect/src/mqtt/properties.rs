//! The properties of MQTT 5's packets: those that are of use here, and the others jumped over.
//! It must not know which packet they are of.

use super::fields::{Fields, Malformed};

/// What a subscriber makes use of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Properties {
    /// Names and values that the sender has given.
    pub user: Vec<(String, String)>,
    /// Why something is refused, in the broker's words.
    pub reason: Option<String>,
    /// The seconds within which the broker wants to hear something.
    pub keep_alive_s: Option<u16>,
}

/// Reads properties with their length before them. MQTT 5, table 2-4.
pub(super) fn read(fields: &mut Fields<'_>) -> Result<Properties, Malformed> {
    let length = fields.varint()?;
    let mut fields = Fields(fields.take(length)?);
    let mut found = Properties::default();

    while !fields.0.is_empty() {
        match fields.varint()? {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => _ = fields.byte()?,
            0x13 => found.keep_alive_s = Some(fields.u16()?),
            0x21..=0x23 => _ = fields.u16()?,
            0x02 | 0x11 | 0x18 | 0x27 => _ = fields.take(4)?,
            0x0b => _ = fields.varint()?,
            0x1f => found.reason = Some(fields.text()?.to_owned()),
            0x26 => found.user.push((fields.text()?.to_owned(), fields.text()?.to_owned())),
            0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1a | 0x1c => _ = fields.binary()?,
            _ => return Err("it has a property that MQTT 5 does not have"),
        }
    }
    Ok(found)
}
