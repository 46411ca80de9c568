//! A file in the order of its records' times.
//! It must not know how a time is read: a decoder says it.
//!
//! The whole file is read first, whatever position is asked for, and sorted by time within a
//! bound of memory; records of one time stay as they came, and those that have none come first. A
//! position is a record's place in this order: it is one of the records alone, so that what was
//! read up to a position is the same each time. Where a record stood is kept with it.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, Int64Builder, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use tickcast_stream::decode::Decode;
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::{RawRecord, Records, column};
use tickcast_stream::source::{Event, Source};
use tickcast_stream::{LogId, LogKind, Offset, PartitionId, SourceFile};

use super::file::FileSource;
use crate::external_sort::{Sorted, Sorter};

/// Records that one poll brings.
const BATCH_RECORDS: usize = 1024;
/// A batch ends early when its records have so many bytes together.
const BATCH_BYTES: usize = 16 << 20;
/// Bytes of records in memory, at most, while they are sorted.
const MEMORY_BYTES: usize = 64 << 20;

/// The columns of raw records that are sorted, behind those of their order.
const PAYLOAD: &str = "payload";
const CUT_FROM: &str = "cut_from";

/// Brings the records of a file in the order of their times.
pub struct InTimeOrder {
    inner: FileSource,
    /// Says a record's time.
    decoder: Option<Box<dyn Decode>>,
    /// The files that the records are from, where there are several.
    files: Vec<Arc<SourceFile>>,
    memory_bytes: usize,
    batch_records: usize,
    state: State,
    paused: bool,
}

enum State {
    /// Not started.
    Waiting,
    /// All is read, to be sorted.
    Reading {
        partition: PartitionId,
        from: Offset,
        sorter: Option<Sorter>,
    },
    Bringing {
        partition: PartitionId,
        next: Offset,
        sorted: Sorted,
    },
    Done,
}

impl InTimeOrder {
    /// Of a file's; a batch has so many records, at most, unless none are set.
    pub fn new(inner: FileSource, batch_records: Option<usize>) -> Self {
        InTimeOrder {
            inner,
            decoder: None,
            files: Vec::new(),
            memory_bytes: MEMORY_BYTES,
            batch_records: batch_records.unwrap_or(BATCH_RECORDS).max(1),
            state: State::Waiting,
            paused: false,
        }
    }

    /// The same with another bound of memory.
    pub fn with_memory_bytes(mut self, memory_bytes: usize) -> Self {
        self.memory_bytes = memory_bytes;
        self
    }

    /// Takes in what the source has brought.
    fn take(&mut self, records: &Records) -> Result<()> {
        if let Records::Raw(raw) = records
            && let Some(file) = raw.first().and_then(|record| record.file.as_ref())
            && self.files.last().is_none_or(|last| !Arc::ptr_eq(last, file))
        {
            self.files.push(Arc::clone(file));
        }
        let rows = self.with_order(records)?;
        if let State::Reading { sorter, .. } = &mut self.state {
            let memory_bytes = self.memory_bytes;
            sorter.get_or_insert_with(|| Sorter::new(rows.schema(), memory_bytes)).push(rows)?;
        }
        Ok(())
    }

    /// The records as rows: time, where they stood, and what they are.
    fn with_order(&self, records: &Records) -> Result<RecordBatch> {
        let first = records.first_offset().unwrap_or(Offset(0));
        let no_decoder = || Error::new(Kind::Source, "nothing says the times that a file is to be sorted by");
        let decoded = self.decoder.as_ref().ok_or_else(no_decoder)?.decode(records)?.rows;
        let offsets = decoded[column::OFFSET].as_primitive::<Int64Type>().values();
        let known = decoded[column::TIME].as_primitive::<TimestampMicrosecondType>().values();
        let (mut times, mut at) = (Int64Builder::with_capacity(records.len()), 0);
        for offset in first.0..first.plus(records.len()).0 {
            let is_known = offsets.get(at) == Some(&offset);
            times.append_option(is_known.then(|| known[at]));
            at += usize::from(is_known);
        }

        let stood = Int64Array::from_iter_values(first.0..first.plus(records.len()).0);
        let mut columns: Vec<ArrayRef> = vec![Arc::new(times.finish()), Arc::new(stood)];
        let schema = match records {
            Records::Raw(raw) => {
                columns.push(Arc::new(
                    raw.iter().map(|record| record.payload.as_deref()).collect::<BinaryArray>(),
                ));
                let cut_from = |record: &RawRecord| record.cut_from.map(|bytes| bytes as i64);
                columns.push(Arc::new(raw.iter().map(cut_from).collect::<Int64Array>()));
                with_order_columns(
                    [(PAYLOAD, DataType::Binary), (CUT_FROM, DataType::Int64)]
                        .map(|(name, data_type)| Field::new(name, data_type, true)),
                )
            }
            Records::Rows { rows, .. } => {
                columns.extend(rows.columns().iter().cloned());
                with_order_columns(rows.schema().fields().iter().map(|field| field.as_ref().clone()))
            }
        };

        let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
        RecordBatch::try_new_with_options(schema, columns, &options).or_fail(Kind::Source, unfit)
    }

    /// All is read: from now on it is brought.
    fn sort(&mut self) -> Result<()> {
        let state = std::mem::replace(&mut self.state, State::Done);
        let State::Reading { partition, from, sorter } = state else { return Ok(()) };

        let mut known = Offset(0);
        let mut sorted = sorter.map(Sorter::sorted).transpose()?;
        while known < from {
            let wanted = usize::try_from(from.since(known)).unwrap_or(usize::MAX);
            let passed = match &mut sorted {
                Some(sorted) => sorted.next_rows(wanted, BATCH_BYTES)?,
                None => None,
            };
            let Some(passed) = passed else {
                let what = format!("the source has {known} records, but is to be read from record {from} on");
                return Err(Error::new(Kind::Source, what));
            };
            known = known.plus(passed.num_rows());
        }

        let sorted = sorted.unwrap_or_else(Sorted::none);
        self.state = State::Bringing { partition, next: from, sorted };
        Ok(())
    }

    /// The next records in their order, or the end.
    fn bring(&mut self) -> Result<Event> {
        let State::Bringing { partition, next, sorted } = &mut self.state else {
            return Ok(Event::Idle { problem: None });
        };
        let partition = *partition;
        match sorted.next_rows(self.batch_records, BATCH_BYTES)? {
            Some(rows) => {
                let first_offset = *next;
                *next = next.plus(rows.num_rows());
                Ok(Event::Records { partition, records: records_of(&rows, first_offset, &self.files)? })
            }
            None => {
                self.state = State::Done;
                Ok(Event::End { partition })
            }
        }
    }
}

fn unfit() -> &'static str {
    "the columns of records that are sorted do not fit together"
}

fn with_order_columns(fields: impl IntoIterator<Item = Field>) -> SchemaRef {
    let order =
        [Field::new(column::TIME, DataType::Int64, true), Field::new(column::ORIGIN, DataType::Int64, false)];
    Arc::new(Schema::new(order.into_iter().chain(fields).collect::<Vec<_>>()))
}

/// Sorted rows as the records that they were, with where they stood.
fn records_of(rows: &RecordBatch, first_offset: Offset, files: &[Arc<SourceFile>]) -> Result<Records> {
    let is_raw = rows.num_columns() == 4 && rows.schema().field(2).name() == PAYLOAD;
    if !is_raw {
        let columns: Vec<usize> = (1..rows.num_columns()).collect();
        let rows = rows.project(&columns).or_fail(Kind::Source, unfit)?;
        return Ok(Records::Rows { first_offset, rows });
    }

    let stood = rows.column(1).as_primitive::<Int64Type>();
    let (payloads, cut) = (rows.column(2).as_binary::<i32>(), rows.column(3).as_primitive::<Int64Type>());
    let record = |row: usize| RawRecord {
        offset: first_offset.plus(row),
        origin: Some(Offset(stood.value(row))),
        file: file_of(files, Offset(stood.value(row))),
        payload: payloads.is_valid(row).then(|| Bytes::copy_from_slice(payloads.value(row))),
        cut_from: cut.is_valid(row).then(|| cut.value(row).unsigned_abs()),
        ..RawRecord::default()
    };
    Ok(Records::Raw((0..rows.num_rows()).map(record).collect()))
}

/// The file that a record stood in, where there are several.
fn file_of(files: &[Arc<SourceFile>], stood: Offset) -> Option<Arc<SourceFile>> {
    let begun = files.partition_point(|file| file.first <= stood);
    files.get(begun.checked_sub(1)?).cloned()
}

impl Source for InTimeOrder {
    fn poll(&mut self, timeout: Duration) -> Result<Event> {
        match &self.state {
            State::Waiting => self.inner.poll(timeout),
            State::Reading { .. } => match self.inner.poll(timeout)? {
                Event::Records { records, .. } => {
                    self.take(&records)?;
                    Ok(Event::Idle { problem: None })
                }
                Event::End { .. } => {
                    self.sort()?;
                    Ok(Event::Idle { problem: None })
                }
                other => Ok(other),
            },

            State::Bringing { .. } if !self.paused => self.bring(),
            State::Bringing { .. } | State::Done => {
                std::thread::sleep(timeout);
                Ok(Event::Idle { problem: None })
            }
        }
    }

    fn start(&mut self, partition: PartitionId, position: Option<Offset>) -> Result<()> {
        self.inner.start(partition, None)?;
        let from = position.unwrap_or(Offset(0));
        self.state = State::Reading { partition, from, sorter: None };
        Ok(())
    }

    fn select(&mut self, columns: &[String]) -> Result<()> {
        self.inner.select(columns)
    }

    fn know_times(&mut self, decoder: Box<dyn Decode>) {
        self.decoder = Some(decoder);
    }

    fn set_paused(&mut self, partition: PartitionId, paused: bool) -> Result<()> {
        self.paused = paused;
        self.inner.set_paused(partition, paused)
    }

    fn release(&mut self, partition: PartitionId) -> Result<()> {
        self.inner.release(partition)
    }

    fn log_id(&mut self, known: Option<LogId>) -> Result<Option<LogId>> {
        self.inner.log_id(known)
    }

    fn log_change(&self) -> Option<String> {
        self.inner.log_change()
    }

    fn log_kind(&self) -> LogKind {
        self.inner.log_kind()
    }

    fn close(&mut self) -> Result<()> {
        self.state = State::Done;
        self.inner.close()
    }
}

#[cfg(test)]
mod tests;
