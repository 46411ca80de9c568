//! The payloads of a batch, one behind the other, and what stands before the record in each.
//! It must not know a format.

use std::ops::Range;

use bytes::Bytes;

/// Payloads in one piece of memory, in the order of their rows.
#[derive(Debug, Default)]
pub(super) struct Payloads {
    pub bytes: Bytes,
    /// Where each lies in `bytes`.
    pub places: Vec<Range<usize>>,
}

impl Payloads {
    /// Of rows that are written one after the other. Errors: those of `write`.
    pub fn of<E>(
        rows: usize,
        mut write: impl FnMut(usize, &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let (mut bytes, mut places) = (Vec::new(), Vec::with_capacity(rows));
        for row in 0..rows {
            let from = bytes.len();
            write(row, &mut bytes)?;
            places.push(from..bytes.len());
        }
        Ok(Payloads { bytes: bytes.into(), places })
    }
}

/// What stands before a record: a zero byte and the number of its schema in a registry, big end
/// first (Confluent's wire format), or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame(pub Option<u32>);

impl Frame {
    /// Writes what stands before a record of Avro or JSON.
    pub fn start(self, bytes: &mut Vec<u8>) {
        if let Some(id) = self.0 {
            bytes.push(0);
            bytes.extend_from_slice(&id.to_be_bytes());
        }
    }

    /// Also names the message of a Protobuf schema: its first one, which is written as a zero.
    pub fn start_message(self, bytes: &mut Vec<u8>) {
        self.start(bytes);
        if self.0.is_some() {
            bytes.push(0);
        }
    }
}
