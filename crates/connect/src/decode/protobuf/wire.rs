//! Protobuf's wire format: the bytes of a value, and what they mean.
//! It must not know which values are wanted.

use prost::encoding::{WireType, decode_key, decode_varint};
use prost_reflect::{Kind, MessageDescriptor};

use super::plan::{Known, zero};
use crate::decode::cell::Cell;
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
    let zigzag = |of: u64| (of >> 1) as i64 ^ -((of & 1) as i64);
    Ok(Value::Of(match kind {
        Kind::Double => Cell::Float(f64::from_le_bytes(sized(raw)?)),
        Kind::Float => Cell::Float(f32::from_le_bytes(sized(raw)?).into()),
        Kind::Int32 | Kind::Int64 => Cell::Whole(varint()? as i64),
        Kind::Uint32 | Kind::Uint64 => Cell::Unsigned(varint()?),
        Kind::Sint32 | Kind::Sint64 => Cell::Whole(zigzag(varint()?)),
        Kind::Fixed32 => Cell::Whole(u32::from_le_bytes(sized(raw)?).into()),
        Kind::Sfixed32 => Cell::Whole(i32::from_le_bytes(sized(raw)?).into()),
        Kind::Fixed64 => Cell::Unsigned(u64::from_le_bytes(sized(raw)?)),
        Kind::Sfixed64 => Cell::Whole(i64::from_le_bytes(sized(raw)?)),

        Kind::Bool => Cell::Truth(varint()? != 0),
        Kind::Bytes => Cell::Bytes(raw),
        Kind::String => {
            let text = std::str::from_utf8(raw).map_err(|_| broken("a text is not UTF-8"))?;
            Cell::Text(text)
        }
        Kind::Enum(of) => {
            let number = varint()? as i32;
            match of.get_value(number) {
                Some(word) => return Ok(Value::Made(word.name().into())),
                None => Cell::Whole(number.into()),
            }
        }
        Kind::Message(of) => return of_message(of, known, raw),
    }))
}

/// A number of so many bytes.
fn sized<const N: usize>(raw: &[u8]) -> Result<[u8; N], Fault> {
    raw.try_into().map_err(|_| broken("a number of another size"))
}

/// What a message is where it is wanted itself.
fn of_message<'a>(of: &MessageDescriptor, known: Known, raw: &'a [u8]) -> Result<Value<'a>, Fault> {
    if known == Known::Object {
        return Ok(Value::Of(Cell::Nested));
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
        Known::Timestamp => Value::Of(Cell::Instant(
            seconds()?.saturating_mul(1_000_000).saturating_add(second.div_euclid(1_000)),
        )),
        Known::Duration => Value::Of(Cell::Float(seconds()? as f64 + second as f64 / 1e9)),
        Known::Wrapper => match (of.get_field(1), first) {
            (Some(field), Some(raw)) => value_of(&field.kind(), Known::Object, raw)?,
            (Some(field), None) => zero(&field.kind()).unwrap_or(Value::Of(Cell::Null)),
            (None, _) => Value::Of(Cell::Null),
        },
        Known::Object => Value::Of(Cell::Nested),
    })
}
