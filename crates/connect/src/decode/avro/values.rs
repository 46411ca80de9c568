//! Avro values without others in them, and what they mean.
//! It must not know which are wanted.

use super::schema::{AvroKind, Logical};
use super::wire::{AvroBytes, Fault};
use crate::decode::cell::Cell;
use crate::decode::value::Value;

/// A value without others in it.
pub(super) fn plain<'a>(
    kind: &AvroKind,
    logical: Option<Logical>,
    bytes: &mut AvroBytes<'a>,
) -> Result<Value<'a>, Fault> {
    Ok(Value::Of(match (kind, logical) {
        (AvroKind::Int, Some(Logical::Date)) => Cell::Clock(i64::from(bytes.int()?) * DAY_US),
        (AvroKind::Long, Some(Logical::Timestamp { a_second, is_local })) => {
            let us = micros(bytes.long()?, a_second);
            if is_local { Cell::Clock(us) } else { Cell::Instant(us) }
        }
        (AvroKind::Bytes, Some(Logical::Decimal { scale })) => decimal(bytes.bytes()?, scale),
        (AvroKind::Fixed(size), Some(Logical::Decimal { scale })) => decimal(bytes.take(*size)?, scale),
        (AvroKind::Fixed(size), Some(Logical::Uuid)) => {
            return Ok(Value::Made(uuid(bytes.take(*size)?).into()));
        }

        (AvroKind::Boolean, _) => Cell::Truth(bytes.boolean()?),
        (AvroKind::Int, _) => Cell::Whole(bytes.int()?.into()),
        (AvroKind::Long, _) => Cell::Whole(bytes.long()?),
        (AvroKind::Float, _) => Cell::Float(bytes.float()?.into()),
        (AvroKind::Double, _) => Cell::Float(bytes.double()?),
        (AvroKind::Bytes, _) => Cell::Bytes(bytes.bytes()?),
        (AvroKind::Fixed(size), _) => Cell::Bytes(bytes.take(*size)?),
        (AvroKind::String, _) => Cell::Text(bytes.string()?),
        (AvroKind::Enum(symbols), _) => {
            let at = bytes.int()?;
            let symbol = usize::try_from(at).ok().and_then(|at| symbols.get(at));
            let symbol =
                symbol.ok_or_else(|| format!("an enum of {} words has no word {at}", symbols.len()))?;
            return Ok(Value::Made(symbol.as_str().into()));
        }
        _ => Cell::Null,
    }))
}

const DAY_US: i64 = 86_400_000_000;

/// A count of so many a second, in microseconds; those that no year has at the end of time.
fn micros(count: i64, a_second: i64) -> i64 {
    if a_second > 1_000_000 {
        count.div_euclid(a_second / 1_000_000)
    } else {
        count.saturating_mul(1_000_000 / a_second)
    }
}

/// A whole number of two's complement, big end first, divided by a power of ten.
fn decimal(bytes: &[u8], scale: u32) -> Cell<'static> {
    if bytes.len() > 16 {
        return Cell::Text("a decimal of more than 16 bytes");
    }
    let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = if is_negative { -1_i128 } else { 0 };
    let unscaled = bytes.iter().fold(start, |whole, byte| whole << 8 | i128::from(*byte));
    // Its text is the number exactly, and what is read from it the float next to it.
    format!("{unscaled}e-{scale}").parse().map_or(Cell::Null, Cell::Float)
}

fn uuid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
