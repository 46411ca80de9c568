//! The user's own audit: everything is made again from the input and compared with what the sinks
//! hold.
//! It must not write: neither results nor state nor offsets.

use std::collections::BTreeMap;

use super::context::RunContext;
use super::factory::PipelineFactory;
use super::history::{Reader, read_to_end};
use super::partition::Partition;
use super::partition_output::PartitionOutput;
use super::recovery::restore_point;
use crate::error::{Error, Kind, Result};
use crate::ledger::{Audit, Checkpoint};
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
    /// Of them compared: retention may have dropped the first ones.
    pub compared: u64,
    /// Records that are not as the input makes them, that are missing, or that nobody has
    /// committed.
    pub differing: u64,
    /// The first of them, for a person.
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
    /// Whether nothing differs.
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| finding.differing == 0)
    }
}

/// Reads the input from its beginning, or, where that is gone, from the newest snapshot, up to the
/// last commit. None, when it was told to stop. Errors: the source's and the sinks', and `State`,
/// when nothing is committed.
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

/// A partition that is made again.
struct Audited {
    partition: Partition,
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
    fn of(
        audit: &dyn Audit,
        partition: PartitionId,
        stream: Stream,
        committed: u64,
        from: u64,
    ) -> Result<Self> {
        let kept = audit.kept(partition, stream)?;
        let base = committed.saturating_sub(kept.len() as u64);
        let finding = Finding { partition, stream, committed, compared: 0, differing: 0, first: None };
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
        self.finding.compared += 1;
        let (place, digest) = self.kept[(number - self.base) as usize];
        if digest != made.0 {
            self.differs(|| format!("record {number}, at {place}, is not what the input makes: {}", made.1));
        }
    }

    fn finish(mut self) -> Finding {
        let committed = self.finding.committed;
        let beyond = (self.kept.len() as u64).saturating_sub(committed);
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

impl Reader for Auditor<'_> {
    fn begin(&mut self, id: PartitionId) -> Result<Option<Offset>> {
        let Some(entry) = self.audit.entry(id)? else { return Ok(None) };
        let mut partition = self.factory.partition(id)?;
        partition.go_live_at(entry.progress.live);
        let mut from = entry.progress.begun;
        if self.firsts.get(&id).is_some_and(|&first| first > from) {
            let snapshot = self.audit.snapshot(id, &entry)?.ok_or_else(|| {
                let what = format!(
                    "partition {id}: the first records are gone, and there is no snapshot to go on from"
                );
                Error::new(Kind::State, what)
            })?;
            partition.restore(&snapshot, restore_point(&snapshot, Some(&entry.progress)))?;
            from = snapshot.position;
        }

        let streams = self.factory.streams().iter();
        let streams = streams.map(|&stream| {
            let committed = entry.progress.counts.of(stream);
            Comparison::of(self.audit, id, stream, committed, partition.emitted().of(stream))
        });
        let streams = streams.collect::<Result<_>>()?;
        self.partitions.insert(id, Audited { partition, entry, streams });
        Ok(Some(from))
    }

    fn records(&mut self, id: PartitionId, records: Records) -> Result<()> {
        let Some(audited) = self.partitions.get_mut(&id) else { return Ok(()) };
        let Checkpoint { progress, .. } = audited.entry;
        // What is committed may reach into the records after its position: a piece of a batch was
        // committed.
        let is_over = audited.partition.position().is_some_and(|at| at >= progress.position)
            && audited.partition.emitted().reach(&progress.counts);
        if is_over {
            return Ok(());
        }
        let Audited { partition, streams, .. } = audited;
        partition.take(records, &mut |outcome| compare(streams, self.audit, &outcome))
    }

    fn end(&mut self, id: PartitionId) -> Result<()> {
        let Some(mut audited) = self.partitions.remove(&id) else { return Ok(()) };
        if !audited.partition.emitted().reach(&audited.entry.progress.counts) {
            // A bounded input closes its windows at its end; of a topic that is still read, this
            // makes more than is committed.
            let mut last = Vec::new();
            audited.partition.finish(&mut |outcome| {
                last.push(outcome);
                Ok(())
            })?;
            last.iter().try_for_each(|outcome| compare(&mut audited.streams, self.audit, outcome))?;
        }
        self.findings.extend(audited.streams.into_iter().map(Comparison::finish));
        Ok(())
    }
}
