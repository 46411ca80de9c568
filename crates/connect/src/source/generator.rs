//! The generated source: synthetic ticks as partitions of rows, at a rate or as fast as they are
//! taken.
//! It must not know how a tick is made.

use std::time::{Duration, Instant};

use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::message::Records;
use tickcast_stream::source::{Event, Source};
use tickcast_stream::{Offset, PartitionId};

use super::kind::{OpenOptions, OpenSource, SourceKind, SourceTraits, Span};
use super::ticks::{GeneratorSpec, Ticks};
use crate::decode::WireFormat;

/// Ticks that one poll brings at most, unless it is set.
const BATCH_RECORDS: usize = 1024;
/// At a rate, a batch gathers the ticks of this time, so that a high rate does not mean many small
/// batches.
const GATHERED: Duration = Duration::from_millis(10);
/// After a longer stop (backpressure), ticks that are overdue for longer than this are left out of
/// the pace: they come later, and not in a burst.
const CATCH_UP: Duration = Duration::from_secs(1);

impl SourceKind for GeneratorSpec {
    fn traits(&self) -> SourceTraits {
        let GeneratorSpec { process, series, seed, partitions, .. } = self;
        SourceTraits {
            is_bounded: true,
            leaves_open: false,
            is_shared: false,
            is_replayable: true,
            has_past: false,
            has_timestamps: false,
            label: "generate".to_owned(),
            identity: format!("{process:?} series {series} seed {seed} partitions {partitions}"),
            format: Some(WireFormat::Json),
        }
    }

    fn partitions(&self) -> Result<i32> {
        Ok(self.partitions)
    }

    fn open(&self, options: OpenOptions) -> Result<OpenSource> {
        let source = GeneratedSource::new(self);
        Ok(OpenSource::of(match options.batch_records {
            Some(records) => source.with_batch_records(records),
            None => source,
        }))
    }

    /// The past need not be waited for.
    fn open_history(&self, _: Span) -> Result<OpenSource> {
        GeneratorSpec { rate: None, ..self.clone() }.open(OpenOptions::default())
    }
}

/// Reads all partitions of a generator in turn.
pub struct GeneratedSource {
    plan: GeneratorSpec,
    partitions: Vec<Partition>,
    assigned: bool,
    batch_records: usize,
    pace: Option<Pace>,
    /// The partition whose turn it is.
    turn: usize,
}

#[derive(Default)]
struct Partition {
    /// None before the start and after the end.
    ticks: Option<Ticks>,
    paused: bool,
}

impl GeneratedSource {
    /// Stands before the first tick of every partition.
    pub fn new(plan: &GeneratorSpec) -> Self {
        GeneratedSource {
            plan: plan.clone(),
            partitions: (0..plan.partitions).map(|_| Partition::default()).collect(),
            assigned: false,
            batch_records: BATCH_RECORDS,
            pace: plan.rate.map(Pace::new),
            turn: 0,
        }
    }

    /// The same source with at most so many ticks a poll, at least one.
    pub fn with_batch_records(mut self, batch_records: usize) -> Self {
        self.batch_records = batch_records.max(1);
        self
    }

    fn partition(&mut self, partition: PartitionId) -> Result<&mut Partition> {
        let known = usize::try_from(partition.0).ok().and_then(|index| self.partitions.get_mut(index));
        known.ok_or_else(|| Error::new(Kind::Source, format!("the generator has no partition {partition}")))
    }

    /// The next partition that may be read, in turn.
    fn next_turn(&mut self) -> Option<usize> {
        let count = self.partitions.len();
        let mut turns = (self.turn..self.turn + count).map(|turn| turn % count);
        let turn =
            turns.find(|turn| self.partitions[*turn].ticks.is_some() && !self.partitions[*turn].paused)?;
        self.turn = (turn + 1) % count;
        Some(turn)
    }

    /// The next ticks of a partition, or its end.
    fn read(&mut self, turn: usize, due: usize) -> Option<Event> {
        let partition = PartitionId(turn as i32);
        let state = &mut self.partitions[turn];
        let ticks = state.ticks.as_mut()?;
        let first_offset = Offset(ticks.offset() as i64);
        let Some(rows) = ticks.next_batch(due) else {
            state.ticks = None;
            return Some(Event::End { partition });
        };

        if let Some(pace) = &mut self.pace {
            pace.sent += rows.num_rows() as f64;
        }
        Some(Event::Records { partition, records: Records::Rows { first_offset, rows } })
    }
}

impl Source for GeneratedSource {
    fn poll(&mut self, timeout: Duration) -> Result<Event> {
        let idle = Event::Idle { problem: None };
        if !self.assigned {
            self.assigned = true;
            return Ok(Event::Assigned((0..self.plan.partitions).map(PartitionId).collect()));
        }
        let is_ready = self.partitions.iter().any(|partition| partition.ticks.is_some() && !partition.paused);
        if !is_ready {
            std::thread::sleep(timeout);
            return Ok(idle);
        }

        let due = match &mut self.pace {
            None => self.batch_records,
            Some(pace) => pace.wait(self.batch_records, timeout),
        };
        let next = if due == 0 { None } else { self.next_turn() };
        Ok(next.and_then(|turn| self.read(turn, due)).unwrap_or(idle))
    }

    fn start(&mut self, partition: PartitionId, position: Option<Offset>) -> Result<()> {
        let position = u64::try_from(position.unwrap_or(Offset(0)).0)
            .map_err(|_| Error::new(Kind::Source, "the generator cannot start before its first tick"))?;
        self.partition(partition)?;

        let mut ticks = Ticks::new(&self.plan, partition);
        ticks.skip(position);
        if ticks.offset() < position {
            let known = ticks.offset();
            let what = format!(
                "partition {partition} of the generator has {known} ticks, but is to start at {position}"
            );
            return Err(Error::new(Kind::Source, what));
        }
        self.partition(partition)?.ticks = Some(ticks);
        Ok(())
    }

    fn set_paused(&mut self, partition: PartitionId, paused: bool) -> Result<()> {
        self.partition(partition)?.paused = paused;
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.partitions.clear();
        Ok(())
    }
}

/// How many ticks are due by the clock: due = rate * elapsed - sent.
struct Pace {
    /// Ticks a second, all partitions together.
    rate: f64,
    since: Option<Instant>,
    sent: f64,
}

impl Pace {
    fn new(rate: f64) -> Self {
        Pace { rate, since: None, sent: 0.0 }
    }

    /// Waits at most `timeout` until a batch is due, and says how many ticks it may have; 0, when
    /// none is due.
    fn wait(&mut self, batch_records: usize, timeout: Duration) -> usize {
        let gathered = (self.rate * GATHERED.as_secs_f64()).floor().clamp(1.0, batch_records as f64);
        let lacking_s = (gathered - self.due()) / self.rate;
        if lacking_s > 0.0 {
            let lacking = Duration::try_from_secs_f64(lacking_s).unwrap_or(Duration::MAX);
            std::thread::sleep(lacking.min(timeout));
        }
        let due = self.due();
        if due < gathered { 0 } else { due.min(batch_records as f64) as usize }
    }

    fn due(&mut self) -> f64 {
        let elapsed_s = self.since.get_or_insert_with(Instant::now).elapsed().as_secs_f64();
        let most = self.rate * CATCH_UP.as_secs_f64().max(1.0 / self.rate);
        self.sent = self.sent.max(self.rate * elapsed_s - most);
        self.rate * elapsed_s - self.sent
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::source::ticks::Process;

    fn plan(ticks: u64, rate: Option<f64>) -> GeneratorSpec {
        GeneratorSpec { series: 6, ticks, rate, seed: 7, process: Process::Market, partitions: 3 }
    }

    fn started(plan: &GeneratorSpec, position: Offset, batch_records: usize) -> GeneratedSource {
        let mut source = GeneratedSource::new(plan).with_batch_records(batch_records);
        assert!(
            matches!(source.poll(Duration::ZERO).unwrap(), Event::Assigned(ids) if ids == [0, 1, 2].map(PartitionId))
        );
        (0..3).map(PartitionId).for_each(|partition| source.start(partition, Some(position)).unwrap());
        source
    }

    /// Every partition's rows, and the partitions in the order they ended.
    fn drain(source: &mut GeneratedSource) -> BTreeMap<PartitionId, String> {
        let mut rows_of: BTreeMap<PartitionId, Vec<_>> = BTreeMap::new();
        let mut ended = 0;
        while ended < 3 {
            match source.poll(Duration::from_millis(50)).unwrap() {
                Event::Records { partition, records: Records::Rows { first_offset, rows } } => {
                    let seen = rows_of.entry(partition).or_default();
                    assert!(seen.last().is_none_or(
                        |(offset, rows): &(Offset, arrow::array::RecordBatch)| {
                            offset.plus(rows.num_rows()) == first_offset
                        }
                    ));
                    seen.push((first_offset, rows));
                }
                Event::End { .. } => ended += 1,
                Event::Idle { .. } => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
        assert!(matches!(source.poll(Duration::ZERO).unwrap(), Event::Idle { .. }));
        let text = |rows: Vec<(Offset, arrow::array::RecordBatch)>| {
            let batches: Vec<_> = rows.into_iter().map(|(_, rows)| rows).collect();
            let one = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
            format!("{one:?}")
        };
        rows_of.into_iter().map(|(partition, rows)| (partition, text(rows))).collect()
    }

    #[test]
    fn any_batch_size_gives_the_same_ticks() {
        let plan = plan(100, None);
        let whole = drain(&mut started(&plan, Offset(0), 4096));
        assert_eq!(whole.len(), 3);
        for batch in [1, 7] {
            assert_eq!(drain(&mut started(&plan, Offset(0), batch)), whole);
        }
    }

    #[test]
    fn it_starts_at_a_position_but_not_behind_the_end() {
        let plan = plan(90, None);
        let mut source = started(&plan, Offset(29), 10);
        let mut offsets = Vec::new();
        for _ in 0..3 {
            let Event::Records { records, .. } = source.poll(Duration::ZERO).unwrap() else {
                panic!("no records")
            };
            offsets.push(records.next_offset());
        }
        assert_eq!(offsets, [Some(Offset(30)); 3]);
        let mut source = GeneratedSource::new(&plan);
        assert!(
            source.start(PartitionId(0), Some(Offset(31))).unwrap_err().to_string().contains("has 30 ticks")
        );
        assert!(source.start(PartitionId(3), None).is_err());
    }

    #[test]
    fn a_paused_partition_is_passed_over() {
        let mut source = started(&plan(90, None), Offset(0), 30);
        source.set_paused(PartitionId(1), true).unwrap();
        for expected in [0, 2, 0, 2].map(PartitionId) {
            let event = source.poll(Duration::ZERO).unwrap();
            assert!(
                matches!(event, Event::Records { partition, .. } | Event::End { partition } if partition == expected)
            );
        }
        assert!(matches!(source.poll(Duration::ZERO).unwrap(), Event::Idle { .. }));
    }

    #[test]
    fn a_rate_takes_its_time() {
        let began = Instant::now();
        let at_rate = drain(&mut started(&plan(300, Some(1500.0)), Offset(0), 4096));
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(180), "{took:?}");
        assert_eq!(at_rate, drain(&mut started(&plan(300, None), Offset(0), 4096)));
    }
}
