//! Protobuf's wire format: the bytes of a value, and what they mean.
//! It must not know which values are wanted.

use std::borrow::Cow;

use prost::encoding::{WireType, decode_key, decode_varint};
use prost_reflect::{Kind, MessageDescriptor};

use super::plan::{Known, zero};
use crate::decode::value::Value;

/// Why a payload is no message, for a person.
pub(super) type Fault = String;

pub(super) fn broken(cause: impl std::fmt::Display) -> Fault {
    let words = cause.to_string();
    format!("not Protobuf: {}", words.trim_start_matches("failed to decode Protobuf message: "))
}

/// The bytes of a value without its key, and of text, bytes and messages without their length.
pub(super) fn raw_value<'a>(wire: WireType, rest: &mut &'a [u8]) -> Result<&'a [u8], Fault> {
    let before = *rest;
    let size = match wire {
        WireType::Varint => {
            decode_varint(rest).map_err(broken)?;
            return Ok(&before[..before.len() - rest.len()]);
        }
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => {
            let size = decode_varint(rest).map_err(broken)?;
            usize::try_from(size).unwrap_or(usize::MAX)
        }
        WireType::StartGroup | WireType::EndGroup => {
            return Err("not Protobuf: a group where its schema has none".to_owned());
        }
    };

    let Some((value, after)) = rest.split_at_checked(size) else {
        return Err("not Protobuf: the message ends within a field".to_owned());
    };
    *rest = after;
    Ok(value)
}

/// How values of a kind are written.
pub(super) fn wire_of(kind: &Kind) -> WireType {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => WireType::SixtyFourBit,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => WireType::ThirtyTwoBit,
        Kind::String | Kind::Bytes | Kind::Message(_) => WireType::LengthDelimited,
        _ => WireType::Varint,
    }
}

/// A value of a kind, and of what it is known to be.
pub(super) fn value_of<'a>(kind: &Kind, known: Known, raw: &'a [u8]) -> Result<Value<'a>, Fault> {
    let varint = || decode_varint(&mut { raw }).map_err(broken);
    let eight = || raw.try_into().map_err(|_| broken("a number of another size"));
    let four = || raw.try_into().map_err(|_| broken("a number of another size"));
    let zigzag = |of: u64| (of >> 1) as i64 ^ -((of & 1) as i64);
    Ok(match kind {
        Kind::Double => Value::Float(f64::from_le_bytes(eight()?)),
        Kind::Float => Value::Float(f32::from_le_bytes(four()?).into()),
        Kind::Int32 | Kind::Int64 => Value::Whole(varint()? as i64),
        Kind::Uint32 | Kind::Uint64 => Value::Unsigned(varint()?),
        Kind::Sint32 | Kind::Sint64 => Value::Whole(zigzag(varint()?)),
        Kind::Fixed32 => Value::Whole(u32::from_le_bytes(four()?).into()),
        Kind::Sfixed32 => Value::Whole(i32::from_le_bytes(four()?).into()),
        Kind::Fixed64 => Value::Unsigned(u64::from_le_bytes(eight()?)),
        Kind::Sfixed64 => Value::Whole(i64::from_le_bytes(eight()?)),

        Kind::Bool => Value::Truth(varint()? != 0),
        Kind::Bytes => Value::Bytes(raw),
        Kind::String => {
            let text = std::str::from_utf8(raw).map_err(|_| broken("a text is not UTF-8"))?;
            Value::Text(Cow::Borrowed(text))
        }
        Kind::Enum(of) => {
            let number = varint()? as i32;
            match of.get_value(number) {
                Some(word) => Value::Text(Cow::Owned(word.name().to_owned())),
                None => Value::Whole(number.into()),
            }
        }
        Kind::Message(of) => return of_message(of, known, raw),
    })
}

/// What a message is where it is wanted itself.
fn of_message<'a>(of: &MessageDescriptor, known: Known, raw: &'a [u8]) -> Result<Value<'a>, Fault> {
    if known == Known::Object {
        return Ok(Value::Nested);
    }

    let (mut first, mut second, mut rest) = (None, 0_i64, raw);
    while !rest.is_empty() {
        let (number, wire) = decode_key(&mut rest).map_err(broken)?;
        let raw = raw_value(wire, &mut rest)?;
        match number {
            1 => first = Some(raw),
            2 => second = decode_varint(&mut { raw }).map_err(broken)? as i64,
            _ => {}
        }
    }
    let seconds =
        || first.map_or(Ok(0), |raw| decode_varint(&mut { raw }).map(|of| of as i64).map_err(broken));
    Ok(match known {
        Known::Timestamp => {
            Value::Instant(seconds()?.saturating_mul(1_000_000).saturating_add(second.div_euclid(1_000)))
        }
        Known::Duration => Value::Float(seconds()? as f64 + second as f64 / 1e9),
        Known::Wrapper => match (of.get_field(1), first) {
            (Some(field), Some(raw)) => value_of(&field.kind(), Known::Object, raw)?,
            (Some(field), None) => zero(&field.kind()).unwrap_or(Value::Null),
            (None, _) => Value::Null,
        },
        Known::Object => Value::Nested,
    })
}
