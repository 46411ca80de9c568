//! Sorting more rows than memory holds: what does not fit goes to disk in sorted runs, which are
//! merged at the end.
//! It must not know what the rows are, but for the two columns that say their order.
//!
//! The first column is the key, null before all else, the second what decides between equal keys;
//! no two rows have both alike, so that the order is one of the rows alone, and not of the bound.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use arrow::array::{Array, AsArray};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::lock::lock;

/// Runs that are merged at once: of each one small batch is in memory.
const FAN_IN: usize = 64;
/// The rows of a batch on disk have about so many bytes together.
const DISK_BATCH_BYTES: usize = 64 << 10;
/// The order of a row takes so many bytes in memory.
const ORDER_BYTES: usize = size_of::<Place>();

/// A row's key, what decides between equal ones, its batch and its row there.
type Place = (Option<i64>, i64, u32, u32);

/// Takes rows in, in any order.
pub(crate) struct Sorter {
    schema: SchemaRef,
    /// Bytes of rows in memory, at most.
    bound: usize,
    held: Vec<RecordBatch>,
    held_bytes: usize,
    disk: Option<Disk>,
}

/// Sorted runs in a file that nobody else sees: it has no name, and ends with the process.
struct Disk {
    file: Arc<Mutex<File>>,
    runs: Vec<Range<u64>>,
}

fn failed() -> &'static str {
    "cannot sort rows by way of a temporary file (TMPDIR says where it is)"
}

impl Sorter {
    /// Of rows with these columns, the first two of integers.
    pub(crate) fn new(schema: SchemaRef, bound: usize) -> Self {
        Sorter { schema, bound, held: Vec::new(), held_bytes: 0, disk: None }
    }

    /// Takes rows in. Errors: `Source`, when the disk cannot be written.
    pub(crate) fn push(&mut self, rows: RecordBatch) -> Result<()> {
        self.held_bytes += rows.get_array_memory_size() + rows.num_rows() * ORDER_BYTES;
        self.held.push(rows);
        if self.held_bytes > self.bound { self.spill() } else { Ok(()) }
    }

    /// The rows in their order. Errors: as [`Sorter::push`].
    pub(crate) fn sorted(mut self) -> Result<Sorted> {
        if self.disk.is_none() {
            let order = order_of(&self.held);
            return Ok(Sorted::Held { batches: self.held, order, next: 0 });
        }

        self.spill()?;
        let Some(mut disk) = self.disk.take() else { return Ok(Sorted::none()) };
        while disk.runs.len() > FAN_IN {
            let first: Vec<Range<u64>> = disk.runs.drain(..FAN_IN).collect();
            let mut merge = Merge::of(&disk.file, &first)?;
            disk.append(&self.schema, || merge.next_rows(usize::MAX, DISK_BATCH_BYTES))?;
        }
        Ok(Sorted::Merged(Merge::of(&disk.file, &disk.runs)?))
    }

    /// What is in memory becomes a run.
    fn spill(&mut self) -> Result<()> {
        let (held, bytes) = (std::mem::take(&mut self.held), std::mem::take(&mut self.held_bytes));
        if held.is_empty() {
            return Ok(());
        }
        if self.disk.is_none() {
            let file = Arc::new(Mutex::new(tempfile::tempfile().or_fail(Kind::Source, failed)?));
            self.disk = Some(Disk { file, runs: Vec::new() });
        }

        let order = order_of(&held);
        let row_bytes = bytes / order.len().max(1);
        let mut parts = order.chunks((DISK_BATCH_BYTES / row_bytes.max(1)).max(1));
        let Some(disk) = &mut self.disk else { return Ok(()) };
        disk.append(&self.schema, || parts.next().map(|part| rows_at(&held, part)).transpose())
    }
}

impl Disk {
    /// Writes batches in their order as one more run.
    fn append(
        &mut self,
        schema: &SchemaRef,
        mut next: impl FnMut() -> Result<Option<RecordBatch>>,
    ) -> Result<()> {
        let start = self.at(SeekFrom::End(0)).or_fail(Kind::Source, failed)?;
        let section = Section { file: Arc::clone(&self.file), at: start };
        let mut writer =
            StreamWriter::try_new(BufWriter::new(section), schema).or_fail(Kind::Source, failed)?;
        while let Some(rows) = next()? {
            writer.write(&rows).or_fail(Kind::Source, failed)?;
        }
        writer.finish().or_fail(Kind::Source, failed)?;
        writer.into_inner().or_fail(Kind::Source, failed)?.flush().or_fail(Kind::Source, failed)?;

        let end = self.at(SeekFrom::End(0)).or_fail(Kind::Source, failed)?;
        self.runs.push(start..end);
        Ok(())
    }

    fn at(&self, place: SeekFrom) -> io::Result<u64> {
        lock(&self.file).seek(place)
    }
}

/// A place in the file that several read and write, each at its own.
struct Section {
    file: Arc<Mutex<File>>,
    at: u64,
}

impl Section {
    fn with<T>(&mut self, act: impl FnOnce(&mut File) -> io::Result<(T, usize)>) -> io::Result<T> {
        let mut file = lock(&self.file);
        file.seek(SeekFrom::Start(self.at))?;
        let (done, bytes) = act(&mut file)?;
        self.at += bytes as u64;
        Ok(done)
    }
}

impl Read for Section {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.with(|file| file.read(bytes).map(|count| (count, count)))
    }
}

impl Write for Section {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|file| file.write(bytes).map(|count| (count, count)))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The rows of batches in their order.
fn order_of(batches: &[RecordBatch]) -> Vec<Place> {
    let mut order = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for (nth, batch) in batches.iter().enumerate() {
        order.extend((0..batch.num_rows()).map(|row| {
            let (key, second) = place_of(batch, row);
            (key, second, nth as u32, row as u32)
        }));
    }

    order.sort_unstable();
    order
}

fn place_of(batch: &RecordBatch, row: usize) -> (Option<i64>, i64) {
    let keys = batch.column(0).as_primitive::<Int64Type>();
    let second = batch.column(1).as_primitive::<Int64Type>();
    (keys.is_valid(row).then(|| keys.value(row)), second.value(row))
}

fn rows_at(batches: &[RecordBatch], places: &[Place]) -> Result<RecordBatch> {
    let picks: Vec<(usize, usize)> =
        places.iter().map(|(_, _, batch, row)| (*batch as usize, *row as usize)).collect();
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    interleave_record_batch(&batches, &picks).or_fail(Kind::Source, failed)
}

/// Rows in their order.
pub(crate) enum Sorted {
    /// All of them were in memory.
    Held {
        /// As they came.
        batches: Vec<RecordBatch>,
        /// Their order.
        order: Vec<Place>,
        /// The first that has not gone out.
        next: usize,
    },
    /// From runs on disk.
    Merged(Merge),
}

impl Sorted {
    /// No rows.
    pub(crate) fn none() -> Self {
        Sorted::Held { batches: Vec::new(), order: Vec::new(), next: 0 }
    }

    /// The next rows, at most so many, of about so many bytes; none at the end. Errors: `Source`,
    /// when the disk cannot be read.
    pub(crate) fn next_rows(&mut self, rows: usize, bytes: usize) -> Result<Option<RecordBatch>> {
        match self {
            Sorted::Merged(merge) => merge.next_rows(rows, bytes),
            Sorted::Held { batches, order, next } => {
                let (mut end, mut taken) = (*next, 0);
                while end < order.len() && end - *next < rows && taken < bytes {
                    taken += row_bytes(&batches[order[end].2 as usize]);
                    end += 1;
                }
                let part = &order[*next..end];
                *next = end;
                (!part.is_empty()).then(|| rows_at(batches, part)).transpose()
            }
        }
    }
}

/// What a row of the batch takes in memory, about.
fn row_bytes(batch: &RecordBatch) -> usize {
    batch.get_array_memory_size() / batch.num_rows().max(1)
}

/// Merges runs.
pub(crate) struct Merge {
    runs: Vec<Run>,
    /// The next row of each run that has one: key, what decides, run.
    next: BinaryHeap<Reverse<(Option<i64>, i64, usize)>>,
}

struct Run {
    reader: StreamReader<Section>,
    batch: RecordBatch,
    row_bytes: usize,
    row: usize,
}

impl Run {
    /// Reads on; false at the run's end.
    fn read(&mut self) -> std::result::Result<bool, ArrowError> {
        for batch in self.reader.by_ref() {
            let batch = batch?;
            if batch.num_rows() > 0 {
                (self.row_bytes, self.row, self.batch) = (row_bytes(&batch), 0, batch);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Merge {
    fn of(file: &Arc<Mutex<File>>, ranges: &[Range<u64>]) -> Result<Self> {
        let mut merge = Merge { runs: Vec::new(), next: BinaryHeap::new() };
        for range in ranges {
            let section = Section { file: Arc::clone(file), at: range.start };
            let reader = StreamReader::try_new(section, None).or_fail(Kind::Source, failed)?;
            let batch = RecordBatch::new_empty(reader.schema());
            let mut run = Run { reader, batch, row_bytes: 0, row: 0 };
            if run.read().or_fail(Kind::Source, failed)? {
                let (key, second) = place_of(&run.batch, 0);
                merge.next.push(Reverse((key, second, merge.runs.len())));
                merge.runs.push(run);
            }
        }
        Ok(merge)
    }

    fn next_rows(&mut self, rows: usize, bytes: usize) -> Result<Option<RecordBatch>> {
        let (mut taken, mut picks) = (0, Vec::new());
        let mut held: Vec<RecordBatch> = Vec::new();
        let mut held_of: Vec<Option<usize>> = vec![None; self.runs.len()];
        while picks.len() < rows && taken < bytes {
            let Some(Reverse((_, _, nth))) = self.next.pop() else { break };
            let run = &mut self.runs[nth];
            let at = *held_of[nth].get_or_insert_with(|| {
                held.push(run.batch.clone());
                held.len() - 1
            });
            picks.push((at, run.row));
            taken += run.row_bytes;

            run.row += 1;
            if run.row == run.batch.num_rows() {
                held_of[nth] = None;
                if !run.read().or_fail(Kind::Source, failed)? {
                    continue;
                }
            }
            let (key, second) = place_of(&run.batch, run.row);
            self.next.push(Reverse((key, second, nth)));
        }

        let held: Vec<&RecordBatch> = held.iter().collect();
        let merged = || interleave_record_batch(&held, &picks).or_fail(Kind::Source, failed);
        (!picks.is_empty()).then(merged).transpose()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use proptest::prelude::*;

    use super::*;

    fn batch(rows: &[(Option<i64>, i64)]) -> RecordBatch {
        let keys: ArrayRef = Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>());
        let seconds: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>());
        let texts: ArrayRef =
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| format!("{row:?}"))));
        RecordBatch::try_from_iter_with_nullable([
            ("key", keys, true),
            ("second", seconds, true),
            ("text", texts, true),
        ])
        .unwrap()
    }

    /// All rows as they come out, in batches of `rows`, and whether the disk was used.
    fn sorted(keys: &[Option<i64>], bound: usize, pushed: usize, rows: usize) -> (Vec<String>, bool) {
        let all: Vec<(Option<i64>, i64)> = keys.iter().copied().zip(0..).collect();
        let mut sorter = Sorter::new(batch(&[]).schema(), bound);
        all.chunks(pushed).for_each(|part| sorter.push(batch(part)).unwrap());
        let mut sorted = sorter.sorted().unwrap();
        let mut texts = Vec::new();
        while let Some(batch) = sorted.next_rows(rows, usize::MAX).unwrap() {
            assert!(batch.num_rows() <= rows);
            texts.extend(batch["text"].as_string::<i32>().iter().map(|text| text.unwrap().to_owned()));
        }
        (texts, matches!(sorted, Sorted::Merged(_)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// In memory or on disk, and however it is cut: the same order, of equal keys as they came.
        #[test]
        fn the_order_is_that_of_the_keys_alone(
            keys in proptest::collection::vec(proptest::option::weighted(0.9, -20i64..20), 0..400),
            bound in prop_oneof![Just(1usize), 1000usize..20_000, Just(usize::MAX)],
            pushed in 1usize..50,
            rows in 1usize..100,
        ) {
            let mut expected: Vec<(Option<i64>, i64)> = keys.iter().copied().zip(0..).collect();
            expected.sort();
            let (found, on_disk) = sorted(&keys, bound, pushed, rows);
            prop_assert_eq!(on_disk, bound == 1 && !keys.is_empty() || on_disk);
            prop_assert_eq!(found, expected.iter().map(|row| format!("{row:?}")).collect::<Vec<_>>());
        }
    }

    /// More runs than are merged at once.
    #[test]
    fn many_runs_are_merged_in_turns() {
        let keys: Vec<Option<i64>> = (0..1000).map(|n| Some(n * 7919 % 1000)).collect();
        let (found, on_disk) = sorted(&keys, 1, 3, 100);
        assert!(on_disk && found.len() == 1000);
        assert!(found[999].starts_with("(Some(999)"), "{}", found[999]);
    }
}
