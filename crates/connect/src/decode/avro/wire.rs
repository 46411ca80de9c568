//! Avro's binary encoding: the primitive types, and what passes over a value.
//! It must not know which values are wanted.

use super::schema::{AvroKind, AvroSchema, TypeId};

/// How deep values may be nested: they are passed over by recursion.
pub(in crate::decode) const MAX_DEPTH: usize = 128;
/// Items of lists and maps of one payload, at most: an item may take no byte.
const ITEMS_MAX: u64 = 1_000_000;

/// Why a payload is no record, for a person.
pub(in crate::decode) type Fault = String;

/// What is left of a payload.
#[derive(Debug, Clone)]
pub(in crate::decode) struct AvroBytes<'a> {
    rest: &'a [u8],
    items: u64,
}

impl<'a> AvroBytes<'a> {
    pub(in crate::decode) fn new(payload: &'a [u8]) -> Self {
        AvroBytes { rest: payload, items: 0 }
    }

    pub(in crate::decode) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(in crate::decode) fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(format!("the record ends {} bytes too early", count - self.rest.len()));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// A whole number, in a zigzag of seven bits a byte.
    #[inline]
    pub(in crate::decode) fn long(&mut self) -> Result<i64, Fault> {
        let mut zigzag = 0_u64;
        for (at, byte) in self.rest.iter().take(10).enumerate() {
            if at == 9 && *byte > 1 {
                break;
            }
            zigzag |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[at + 1..];
                return Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
            }
        }
        let is_short = self.rest.len() < 10;

        Err(if is_short { "the record ends within a number" } else { "a number has more than 64 bits" }
            .to_owned())
    }

    pub(in crate::decode) fn int(&mut self) -> Result<i32, Fault> {
        let long = self.long()?;
        i32::try_from(long).map_err(|_| format!("{long} is no int"))
    }

    pub(in crate::decode) fn float(&mut self) -> Result<f32, Fault> {
        let bytes = self.take(4)?;
        Ok(f32::from_le_bytes(bytes.try_into().unwrap_or_default()))
    }

    pub(in crate::decode) fn double(&mut self) -> Result<f64, Fault> {
        let bytes = self.take(8)?;
        Ok(f64::from_le_bytes(bytes.try_into().unwrap_or_default()))
    }

    pub(in crate::decode) fn boolean(&mut self) -> Result<bool, Fault> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            other => Err(format!("{other:?} is no boolean")),
        }
    }

    pub(in crate::decode) fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let size = self.long()?;
        let size = usize::try_from(size).map_err(|_| format!("a text or bytes of {size} bytes"))?;
        self.take(size)
    }

    pub(in crate::decode) fn string(&mut self) -> Result<&'a str, Fault> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8".to_owned())
    }

    /// The branch of a union.
    pub(in crate::decode) fn branch(&mut self, branches: &[TypeId]) -> Result<TypeId, Fault> {
        let at = self.long()?;
        let branch = usize::try_from(at).ok().and_then(|at| branches.get(at)).copied();
        branch.ok_or_else(|| format!("a union of {} types has no type {at}", branches.len()))
    }

    /// How many items the next block of a list or a map has, and how many bytes, where that is
    /// written; none at the end.
    pub(in crate::decode) fn block(&mut self) -> Result<Option<(u64, Option<usize>)>, Fault> {
        let count = self.long()?;
        let size = match count {
            0 => return Ok(None),
            ..0 => {
                let size = self.long()?;
                Some(usize::try_from(size).map_err(|_| format!("a block of {size} bytes"))?)
            }
            _ => None,
        };
        let count = count.unsigned_abs();
        self.items = self.items.saturating_add(count);
        if self.items > ITEMS_MAX {
            return Err(format!("lists of more than {ITEMS_MAX} items"));
        }

        Ok(Some((count, size)))
    }

    /// Passes over a value, with so many others around it.
    pub(in crate::decode) fn skip(
        &mut self,
        schema: &AvroSchema,
        of: TypeId,
        depth: usize,
    ) -> Result<(), Fault> {
        if depth > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        match &schema.of(of).kind {
            AvroKind::Null => {}
            AvroKind::Boolean => _ = self.boolean()?,
            AvroKind::Int | AvroKind::Enum(_) => _ = self.int()?,
            AvroKind::Long => _ = self.long()?,
            AvroKind::Float => _ = self.take(4)?,
            AvroKind::Double => _ = self.take(8)?,
            AvroKind::Bytes | AvroKind::String => _ = self.bytes()?,
            AvroKind::Fixed(size) => _ = self.take(*size)?,
            AvroKind::Union(branches) => {
                let branch = self.branch(branches)?;
                self.skip(schema, branch, depth + 1)?;
            }
            AvroKind::Record(fields) => {
                fields.iter().try_for_each(|field| self.skip(schema, field.of, depth + 1))?;
            }

            AvroKind::Array(items) => {
                while let Some((count, size)) = self.block()? {
                    match size {
                        Some(size) => _ = self.take(size)?,
                        None => (0..count).try_for_each(|_| self.skip(schema, *items, depth + 1))?,
                    }
                }
            }
            AvroKind::Map(values) => {
                while let Some((count, size)) = self.block()? {
                    let mut entry = || {
                        self.bytes()?;
                        self.skip(schema, *values, depth + 1)
                    };
                    match size {
                        Some(size) => _ = self.take(size)?,
                        None => (0..count).try_for_each(|_| entry())?,
                    }
                }
            }
        }
        Ok(())
    }
}

/// Writes a number, as a test has it.
#[cfg(test)]
pub(crate) fn write_long(value: i64, out: &mut Vec<u8>) {
    prost::encoding::encode_varint(((value << 1) ^ (value >> 63)) as u64, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zigzag(value: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_long(value, &mut bytes);
        bytes
    }

    #[test]
    fn the_numbers_of_the_specification() {
        for (bytes, value) in
            [(&[0_u8][..], 0), (&[1], -1), (&[2], 1), (&[3], -2), (&[0x7f], -64), (&[0x80, 1], 64)]
        {
            assert_eq!(AvroBytes::new(bytes).long(), Ok(value));
        }
        assert_eq!(AvroBytes::new(&[6, b'f', b'o', b'o']).string(), Ok("foo"));
        let long = [0xff; 10];
        assert!(AvroBytes::new(&long).long().unwrap_err().contains("more than 64 bits"));
        assert!(AvroBytes::new(&[0x80]).long().unwrap_err().contains("ends within a number"));
    }

    #[test]
    fn a_list_of_nothing_takes_no_time() {
        let schema = AvroSchema::parse(r#"{"type": "array", "items": "null"}"#).unwrap();
        let many = [zigzag(i64::MAX), vec![0]].concat();
        let why = AvroBytes::new(&many).skip(&schema, schema.root, 0).unwrap_err();
        assert_eq!(why, "lists of more than 1000000 items");
    }

    proptest! {
        #[test]
        fn a_number_comes_back(value in any::<i64>()) {
            prop_assert_eq!(AvroBytes::new(&zigzag(value)).long(), Ok(value));
        }
    }
}
