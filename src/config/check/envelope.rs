//! Checks what is around the row in a record, and what becomes of records without a value.
//! It must not know what becomes of them.

use tickcast_connect::{FileFormat, FileSourceSpec, Shape, SourceSpec, Tombstones, WireFormat};

use super::Checker;

impl Checker<'_> {
    /// Says where an envelope or a tombstone cannot be.
    pub fn envelope(&mut self, shape: &Shape, format: WireFormat, source: &SourceSpec) {
        let path = "source.envelope";
        let has_columns = match source {
            SourceSpec::Kafka(_) | SourceSpec::Journal(_) => format == WireFormat::Csv,
            SourceSpec::File(FileSourceSpec { format, .. }) => *format != FileFormat::Ndjson,
            SourceSpec::Generate(_) => true,
            SourceSpec::Custom(_) => false,
        };

        // What the source is may not be known.
        let is_known = !["source.format", "source.file"].iter().any(|path| self.is_faulty(path));
        if shape.envelope.is_some() && has_columns && is_known {
            self.fault(path, "is of records of JSON, Avro and Protobuf");
        }

        if shape.envelope.is_some() && shape.unnest.is_some() {
            let help = "take one of them out";
            self.fault_with_help("source.unnest", "a change event is one row, and no list", help);
        }
        if shape.tombstones != Tombstones::default() && source.client().is_none() && is_known {
            self.fault("source.tombstones", "only records of a topic may have no value");
        }
    }
}
