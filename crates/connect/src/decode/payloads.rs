//! From the payloads of a batch to rows, whatever format they are in.
//! It must not know a format: each reads the fields of one payload.

use std::borrow::Cow;

use tickcast_stream::PassReason;
use tickcast_stream::error::Result;
use tickcast_stream::message::{RawRecord, Reason};

use super::cell::Cell;
use super::convert::Converted;
use super::rows::RowBuilder;
use super::verdict::{Verdicts, quote};

/// The largest payload that is decoded, in bytes: as a reject, with key and headers, it still fits
/// into a topic with Kafka's own default limits.
pub const MAX_RECORD_BYTES: usize = 900_000;

/// A row of a payload.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PayloadRow {
    /// Its number within a list, from 1; of a record without a list none.
    pub(super) element: Option<usize>,
    /// Why it is none: what is passed over with its record is not looked at as closely.
    pub(super) fault: Option<String>,
}

impl PayloadRow {
    /// Of an element that was read, or not.
    pub(super) fn of(element: Option<usize>, read: std::result::Result<(), String>) -> Self {
        PayloadRow { element, fault: read.err() }
    }

    /// The record itself.
    pub(super) fn whole() -> Self {
        PayloadRow { element: None, fault: None }
    }
}

/// Reads the fields of payloads, one payload after the other.
pub(super) trait ReadFields<'a> {
    /// The record whose payload is read next.
    fn begin(&mut self, _record: &'a RawRecord) {}

    /// Reads a payload: it has rows, or is passed over for a reason. Errors: why it is no record.
    fn read(&mut self, payload: &'a [u8]) -> std::result::Result<Option<PassReason>, String>;

    /// Goes to the payload's next row. None: there is none left.
    fn next_row(&mut self) -> Option<PayloadRow>;

    /// A field of the row, by its place among those that are read.
    fn cell(&self, field: usize) -> Cell<'_>;
}

/// All rows of these records, in order; what is no record is rejected.
pub(super) fn read_payloads<'a>(
    fields: &mut impl ReadFields<'a>,
    records: &'a [RawRecord],
    mut rows: RowBuilder<'_>,
    verdicts: &mut Verdicts,
) -> Result<Converted> {
    for (at, record) in records.iter().enumerate() {
        fields.begin(record);
        if record.payload.is_none() && rows.passes_tombstones() {
            rows.pass_over(at, PassReason::Tombstone);
            continue;
        }

        let read = payload_of(record)
            .and_then(|payload| fields.read(payload).map_err(|fault| (Reason::Undecodable, fault)));
        match read {
            Ok(Some(reason)) => rows.pass_over(at, reason),
            Ok(None) => {
                while let Some(PayloadRow { element, fault }) = fields.next_row() {
                    match fault {
                        None => rows.take((at, record), element, |field| fields.cell(field), verdicts),
                        Some(why) => rows.refuse((at, element), (Reason::Undecodable, why), verdicts),
                    }
                }
            }
            Err(why) => rows.refuse((at, None), why, verdicts),
        }
    }

    rows.finish(verdicts)
}

/// The payload, where it has a fitting size.
pub(super) fn payload_of(record: &RawRecord) -> std::result::Result<&[u8], (Reason, String)> {
    let Some(payload) = &record.payload else {
        return Err((Reason::Undecodable, "the record has no value (a tombstone)".into()));
    };
    if payload.len() > MAX_RECORD_BYTES {
        let size = record.cut_from.unwrap_or(payload.len() as u64);
        return Err((
            Reason::TooLarge,
            format!("the record has {size} bytes, {MAX_RECORD_BYTES} are allowed"),
        ));
    }
    Ok(payload)
}

/// The payload as text, without the mark at its start that is a habit of some producers and no part
/// of the record.
pub(super) fn text_of(payload: &[u8]) -> std::result::Result<&str, String> {
    match std::str::from_utf8(payload) {
        Ok(text) => Ok(text.trim_start_matches('\u{feff}')),
        Err(error) => {
            let start: Cow<'_, str> = String::from_utf8_lossy(payload);
            Err(format!("not UTF-8 at byte {}: {}", error.valid_up_to(), quote(&start)))
        }
    }
}
