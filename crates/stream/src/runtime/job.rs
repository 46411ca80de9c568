//! A run: what it is made of, how it moves on, what it did.
//! It must not drive: the runners do.

use std::sync::Arc;
use std::time::Duration;

use super::context::RunContext;
use super::endpoints::Endpoints;
use super::factory::PipelineFactory;
use super::partition_output::PartitionOutput;
use crate::message::Stream;
use crate::source::Source;

/// Everything a run needs.
pub struct Job {
    pub factory: Arc<PipelineFactory>,
    pub source: Box<dyn Source>,
    pub ends: Endpoints,
    pub watch: RunContext,
    pub pace: RunOptions,
}

/// How a run moves on. None of it can be seen in what comes out.
#[derive(Debug, Clone, Copy)]
pub struct RunOptions {
    pub workers: usize,
    pub commit_every: Duration,
    pub snapshot_every: Duration,
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    pub records: u64,
    pub rejects: u64,
    pub forecasts: u64,
    pub scores: u64,
    /// Of all partitions, since their first records.
    pub windows: u64,
}

impl Summary {
    pub(super) fn count(&mut self, outcome: &PartitionOutput) {
        for (stream, rows) in &outcome.results {
            let rows = rows.num_rows() as u64;
            match stream {
                Stream::Forecasts => self.forecasts += rows,
                Stream::Scores => self.scores += rows,
                Stream::Rejects => self.rejects += rows,
            }
        }
    }

    pub(super) fn add(&mut self, other: Summary) {
        self.records += other.records;
        self.rejects += other.rejects;
        self.forecasts += other.forecasts;
        self.scores += other.scores;
        self.windows += other.windows;
    }
}
