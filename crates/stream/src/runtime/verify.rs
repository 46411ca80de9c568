//! The user's own audit: everything is made again from the input and compared with what the sinks
//! hold.
//! It must not write: neither results nor state nor offsets.

use std::collections::BTreeMap;

use super::clock_logs::clock_up_to;
use super::context::RunContext;
use super::factory::PipelineFactory;
use super::history::{Reader, read_to_end};
use super::partition::Partition;
use super::partition_output::PartitionOutput;
use super::recovery::restore_point;
use crate::error::{Error, Kind, Result};
use crate::ledger::{Audit, Checkpoint, KeptRecords, Position};
use crate::message::{Records, Stream};
use crate::place::{Offset, PartitionId};
use crate::source::Source;

/// What was compared of one stream of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The partition.
    pub partition: PartitionId,
    /// The stream.
    pub stream: Stream,
    /// Records that the last commit says were put out.
    pub committed: u64,
    /// Of them, those that the sink still holds and that were made again.
    pub compared: u64,
    /// Records that are not as the input makes them, that are missing, or that nobody has
    /// committed.
    pub differing: u64,
    /// Records that the sink holds and that were not made again: the input that made them is gone,
    /// or there is no state of then to begin from.
    pub not_comparable: u64,
    /// The first that differs, for a person.
    pub first: Option<String>,
}

/// All that was compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// One for each stream of each partition.
    pub findings: Vec<Finding>,
    /// Records of the input that were read.
    pub records: u64,
}

impl Verified {
    /// Records that were compared.
    pub fn compared(&self) -> u64 {
        self.findings.iter().map(|finding| finding.compared).sum()
    }

    /// Records that differ.
    pub fn differing(&self) -> u64 {
        self.findings.iter().map(|finding| finding.differing).sum()
    }

    /// Records that the sinks hold and that could not be compared.
    pub fn not_comparable(&self) -> u64 {
        self.findings.iter().map(|finding| finding.not_comparable).sum()
    }
}

/// Reads the input up to the last commit: from its beginning or, where that is gone, from the
/// oldest snapshot that it still reaches. None, when it was told to stop. Errors: the source's and
/// the sinks', and `State`, when nothing is committed.
pub fn verify(
    factory: &PipelineFactory,
    source: &mut dyn Source,
    audit: &dyn Audit,
    firsts: &BTreeMap<PartitionId, Offset>,
    watch: &RunContext,
) -> Result<Option<Verified>> {
    let mut auditor = Auditor { factory, audit, firsts, partitions: BTreeMap::new(), findings: Vec::new() };
    let Some(records) = read_to_end(source, watch, &mut auditor)? else { return Ok(None) };

    let findings = auditor.findings;
    if findings.is_empty() {
        return Err(Error::new(Kind::State, "nothing is committed yet: run the pipeline first"));
    }
    Ok(Some(Verified { findings, records }))
}

struct Auditor<'a> {
    factory: &'a PipelineFactory,
    audit: &'a dyn Audit,
    /// The first record of each partition that is still there, where the source can tell.
    firsts: &'a BTreeMap<PartitionId, Offset>,
    partitions: BTreeMap<PartitionId, Audited>,
    findings: Vec<Finding>,
}

/// A partition that is looked at.
struct Audited {
    /// Made again from its beginning or a snapshot; none, where there is nothing to begin from.
    partition: Option<Partition>,
    entry: Checkpoint,
    streams: Vec<Comparison>,
}

/// One stream of it: what is kept, and how far it was made again.
struct Comparison {
    kept: Vec<(i64, u64)>,
    /// The number, since the partition's first record, of the first that is kept.
    base: u64,
    made: u64,
    finding: Finding,
}

impl Comparison {
    /// `from`: the number of the first record that is made again.
    fn of(
        audit: &dyn Audit,
        partition: PartitionId,
        stream: Stream,
        committed: u64,
        from: u64,
    ) -> Result<Self> {
        let KeptRecords { records: kept, is_cut } = audit.kept(partition, stream)?;
        let base = if is_cut { committed.saturating_sub(kept.len() as u64) } else { 0 };
        let not_comparable = from.min(committed).saturating_sub(base);
        let finding =
            Finding { partition, stream, committed, compared: 0, differing: 0, not_comparable, first: None };
        Ok(Comparison { kept, base, made: from, finding })
    }

    fn differs(&mut self, why: impl FnOnce() -> String) {
        self.finding.differing += 1;
        if self.finding.first.is_none() {
            self.finding.first = Some(why());
        }
    }

    fn compare(&mut self, made: (u64, String)) {
        let number = self.made;
        self.made += 1;
        if number >= self.finding.committed || number < self.base {
            return;
        }
        let Some(&(place, digest)) = self.kept.get((number - self.base) as usize) else {
            return self.differs(|| format!("record {number} is missing: {}", made.1));
        };
        self.finding.compared += 1;
        if digest != made.0 {
            self.differs(|| format!("record {number}, at {place}, is not what the input makes: {}", made.1));
        }
    }

    fn finish(mut self) -> Finding {
        let committed = self.finding.committed;
        let beyond = (self.base + self.kept.len() as u64).saturating_sub(committed);
        for _ in 0..beyond {
            self.differs(|| format!("{beyond} records that no commit knows"));
        }
        for _ in self.made..committed {
            let made = self.made;
            self.differs(|| format!("the input makes only {made} of {committed} records"));
        }
        self.finding
    }
}

fn compare(streams: &mut [Comparison], audit: &dyn Audit, outcome: &PartitionOutput) -> Result<()> {
    for (stream, rows) in &outcome.results {
        if let Some(of) = streams.iter_mut().find(|of| of.finding.stream == *stream) {
            audit.digests(*stream, rows)?.into_iter().for_each(|made| of.compare(made));
        }
    }
    Ok(())
}

impl Auditor<'_> {
    /// A partition that can be made again, and from where. None: there is nothing to begin from.
    fn made_again(&self, id: PartitionId, entry: &Checkpoint) -> Result<Option<(Partition, Offset)>> {
        let Position { begun, live, .. } = entry.progress;
        let first = self.firsts.get(&id).copied().unwrap_or(begun);
        let clock = clock_up_to(self.audit, id, entry);
        if first <= begun && clock.is_whole() {
            let mut partition = self.factory.partition(id)?;
            partition.go_live_at(live);
            partition.will_close_at(clock.after(None));
            return Ok(Some((partition, begun)));
        }

        let mut refused = None;
        for at in self.audit.snapshots(id, entry)?.into_iter().filter(|at| *at >= first) {
            match self.restored(id, entry, at) {
                Ok(Some(mut partition)) => {
                    partition.will_close_at(clock.after(None));
                    tracing::info!(
                        partition = id.0,
                        first = first.0,
                        from = at.0,
                        "its first records are gone"
                    );
                    return Ok(Some((partition, at)));
                }
                Ok(None) => {}
                // It may be of settings that have changed since; a newer one is not.
                Err(error) => {
                    tracing::info!(partition = id.0, at = at.0, %error, "cannot begin at this snapshot");
                    refused = Some(error);
                }
            }
        }
        refused.map_or(Ok(None), Err)
    }

    /// A partition of which nothing is committed: what the sinks hold of it nobody has committed.
    fn unknown(&mut self, id: PartitionId) -> Result<Option<Offset>> {
        for &stream in self.factory.streams() {
            let finding = Comparison::of(self.audit, id, stream, 0, 0)?.finish();
            self.findings.extend(Some(finding).filter(|finding| finding.differing > 0));
        }
        Ok(None)
    }

    fn restored(&self, id: PartitionId, entry: &Checkpoint, at: Offset) -> Result<Option<Partition>> {
        let Some(snapshot) = self.audit.snapshot(id, entry, at)? else { return Ok(None) };
        let mut partition = self.factory.partition(id)?;
        partition.restore(&snapshot, restore_point(&snapshot, Some(&entry.progress)))?;
        Ok(Some(partition))
    }
}

impl Reader for Auditor<'_> {
    fn begin(&mut self, id: PartitionId) -> Result<Option<Offset>> {
        let Some(entry) = self.audit.entry(id)? else { return self.unknown(id) };
        let Position { counts, position, .. } = entry.progress;
        let (partition, from) = match self.made_again(id, &entry)? {
            Some((partition, from)) => (Some(partition), from),
            None => (None, position),
        };

        let made = partition.as_ref().map_or(counts, Partition::emitted);
        let of =
            |&stream: &Stream| Comparison::of(self.audit, id, stream, counts.of(stream), made.of(stream));
        let streams = self.factory.streams().iter().map(of).collect::<Result<_>>()?;
        self.partitions.insert(id, Audited { partition, entry, streams });
        Ok(Some(from))
    }

    fn records(&mut self, id: PartitionId, records: Records) -> Result<()> {
        let Some(Audited { partition: Some(partition), entry, streams }) = self.partitions.get_mut(&id)
        else {
            return Ok(());
        };
        // What is committed may reach into the records after its position: a piece of a batch was
        // committed.
        let Position { position, counts, .. } = entry.progress;
        if partition.position().is_some_and(|at| at >= position) && partition.emitted().reach(&counts) {
            return Ok(());
        }
        partition.take(records, &mut |outcome| compare(streams, self.audit, &outcome))
    }

    fn end(&mut self, id: PartitionId) -> Result<()> {
        let Some(mut audited) = self.partitions.remove(&id) else { return Ok(()) };
        if let Some(partition) = &mut audited.partition {
            let streams = &mut audited.streams;
            partition.catch_up(&mut |outcome| compare(streams, self.audit, &outcome))?;
        }
        self.findings.extend(audited.streams.into_iter().map(Comparison::finish));
        Ok(())
    }
}
