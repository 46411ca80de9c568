//! A pipeline judged by its past: the dataflow of a run over a bounded input, each forecast beside
//! its truth.
//! It must not write to sinks or keep state, and it must not make a forecast otherwise than a run
//! does.

pub mod assertion;
pub mod report;
pub mod sweep;
pub mod table;

mod chart_data;
mod partition_eval;
mod result;

use std::collections::BTreeMap;
use std::time::Instant;

use tickcast_forecast::WindowOrder;
use tickcast_stream::error::Result;
use tickcast_stream::message::{EventTime, Records, Stream};
use tickcast_stream::record::ForecastRows;
use tickcast_stream::runtime::{
    Deliver, Partition, PartitionOutput, PipelineFactory, Reader, RunContext, read_to_end,
};
use tickcast_stream::source::Source;
use tickcast_stream::{Offset, PartitionId};

use self::chart_data::Samples;
use self::partition_eval::PartitionEval;
use crate::config::Plan;

pub use result::{Measured, SeriesMeasures, TargetMeasures};

/// Records that are worked on between two looks at the learner. What comes out does not depend on
/// it.
const SAMPLE_RECORDS: usize = 64;

/// How to judge.
#[derive(Debug, Clone, Copy, Default)]
pub struct BacktestSettings {
    /// Truths in a series' first windows, so many, are learned from and not scored.
    pub skip: u64,
    /// Whether a report will draw it: then more is kept.
    pub is_drawn: bool,
}

/// A pipeline's past, judged.
pub struct Backtest {
    /// What is printed.
    pub measured: Measured,
    /// Of each target.
    evals: Vec<Evals>,
    samples: Samples,
    order: WindowOrder,
}

/// The evaluations of one target, by partition.
type Evals = BTreeMap<PartitionId, PartitionEval>;

/// What a backtest keeps of one target.
struct JudgedTarget<'a> {
    /// Its place among the targets.
    nth: usize,
    measured: &'a TargetMeasures,
    evals: &'a Evals,
    samples: &'a Samples,
    order: &'a WindowOrder,
}

impl Backtest {
    fn targets(&self) -> impl Iterator<Item = JudgedTarget<'_>> {
        let Backtest { samples, order, .. } = self;
        let all = self.measured.targets.iter().zip(&self.evals).enumerate();
        all.map(move |(nth, (measured, evals))| JudgedTarget { nth, measured, evals, samples, order })
    }
}

/// Runs the pipeline over its input. None, when the watch's stop flag ended it before the input
/// did. Errors: the source's and the operators'.
pub fn backtest(
    plan: &Plan,
    factory: &PipelineFactory,
    source: &mut dyn Source,
    watch: &RunContext,
    settings: BacktestSettings,
) -> Result<Option<Backtest>> {
    let started = Instant::now();
    let mut run = Run {
        plan,
        factory,
        watch,
        settings,
        partitions: BTreeMap::new(),
        evals: plan.targets.iter().map(|_| Evals::new()).collect(),
        samples: Samples::default(),
        windows: 0,
        rejected: 0,
    };
    let Some(records) = read_to_end(source, watch, &mut run)? else { return Ok(None) };

    let mut measured = run.measured(records);
    measured.elapsed_seconds = started.elapsed().as_secs_f64();
    let Run { evals, samples, .. } = run;
    Ok(Some(Backtest { measured, evals, samples, order: plan.window.kind.order() }))
}

struct Run<'a> {
    plan: &'a Plan,
    factory: &'a PipelineFactory,
    watch: &'a RunContext,
    settings: BacktestSettings,
    partitions: BTreeMap<PartitionId, Partition>,
    /// Of each target.
    evals: Vec<Evals>,
    /// Of the first partition that learns.
    samples: Samples,
    windows: u64,
    rejected: u64,
}

impl Run<'_> {
    /// Lets a partition work, and evaluates what comes of it.
    fn work(
        &mut self,
        id: PartitionId,
        work: impl FnOnce(&mut Partition, &mut Deliver<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some(partition) = self.partitions.get_mut(&id) else { return Ok(()) };

        let mut newest = None;
        work(partition, &mut |output| {
            self.watch.rejected(&output);
            self.rejected += output.rejected.len() as u64;
            let evals = self.evals.iter_mut().filter_map(|of| of.get_mut(&id));
            newest = evaluate(evals, &output)?.or(newest);
            Ok(())
        })?;

        let first = self.evals.first().and_then(|of| of.keys().next());
        let is_sampled = self.settings.is_drawn && first == Some(&id);
        if let Some(time) = newest.filter(|_| is_sampled) {
            self.samples.add(time, partition.stats());
        }
        Ok(())
    }

    /// What was measured of so many records.
    fn measured(&self, records: u64) -> Measured {
        let targets = self.plan.targets.iter().zip(&self.evals);
        Measured {
            pipeline: self.plan.name.clone(),
            records,
            rejected: self.rejected,
            windows: self.windows,
            skip: self.settings.skip,
            targets: targets.map(|(spec, evals)| TargetMeasures::of(spec, evals)).collect(),
            elapsed_seconds: 0.0,
        }
    }
}

/// Takes in the forecasts and scores of an output; when the last of the forecasts was issued.
fn evaluate<'a>(
    evals: impl Iterator<Item = &'a mut PartitionEval>,
    output: &PartitionOutput,
) -> Result<Option<EventTime>> {
    for eval in evals {
        for (stream, records) in &output.results {
            match stream {
                Stream::Forecasts => eval.forecasts(records)?,
                Stream::Scores => eval.scores(records)?,
                Stream::Rejects => {}
            }
        }
    }

    let forecasts = output.results.iter().rev().find(|(stream, _)| *stream == Stream::Forecasts);
    let Some((_, forecasts)) = forecasts else { return Ok(None) };
    Ok(ForecastRows::of(forecasts)?.iter().next_back().map(|row| row.issued_at()))
}

impl Reader for Run<'_> {
    fn begin(&mut self, id: PartitionId) -> Result<Option<Offset>> {
        let BacktestSettings { skip, is_drawn } = self.settings;
        let plan = self.plan;
        self.partitions.insert(id, self.factory.partition(id)?);
        for (spec, evals) in plan.targets.iter().zip(&mut self.evals) {
            let order = plan.window.kind.order();
            evals.insert(id, PartitionEval::new(spec, order, skip, is_drawn));
        }
        Ok(None)
    }

    fn records(&mut self, id: PartitionId, records: Records) -> Result<()> {
        if !self.settings.is_drawn {
            return self.work(id, |partition, deliver| partition.take(records, deliver));
        }
        pieces(records)
            .into_iter()
            .try_for_each(|records| self.work(id, |partition, deliver| partition.take(records, deliver)))
    }

    fn end(&mut self, id: PartitionId) -> Result<()> {
        self.work(id, |partition, deliver| partition.finish(deliver))?;
        let partition = self.partitions.remove(&id);
        self.windows += partition.map_or(0, |partition| partition.stats().windows_closed);
        Ok(())
    }
}

/// The same records in pieces of [`SAMPLE_RECORDS`].
fn pieces(records: Records) -> Vec<Records> {
    match records {
        Records::Raw(mut records) => {
            let mut pieces = Vec::new();
            while !records.is_empty() {
                let rest = records.split_off(records.len().min(SAMPLE_RECORDS));
                pieces.push(Records::Raw(std::mem::replace(&mut records, rest)));
            }
            pieces
        }
        Records::Rows { first_offset, rows } => (0..rows.num_rows())
            .step_by(SAMPLE_RECORDS)
            .map(|from| Records::Rows {
                first_offset: first_offset.plus(from),
                rows: rows.slice(from, SAMPLE_RECORDS.min(rows.num_rows() - from)),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use tickcast_stream::message::RawRecord;

    use super::*;

    #[test]
    fn pieces_are_the_records_in_order() {
        let record = |n| RawRecord { offset: Offset(n), ..RawRecord::default() };
        let pieces = pieces(Records::Raw((5..155).map(record).collect()));
        let lengths: Vec<usize> = pieces.iter().map(Records::len).collect();
        assert_eq!(lengths, [64, 64, 22]);
        assert_eq!(
            (pieces[1].first_offset(), pieces[2].next_offset()),
            (Some(Offset(69)), Some(Offset(155)))
        );
    }
}
