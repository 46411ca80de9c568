//! A run: what it is made of, how it moves on, what it did.
//! It must not drive: the runners do.

use std::sync::Arc;
use std::time::Duration;

use super::context::RunContext;
use super::endpoints::Endpoints;
use super::factory::PipelineFactory;
use super::partition::Partition;
use super::partition_output::PartitionOutput;
use crate::message::Stream;
use crate::source::Source;

/// Everything a run needs.
pub struct Job {
    /// Builds partitions.
    pub factory: Arc<PipelineFactory>,
    /// What is read.
    pub source: Box<dyn Source>,
    /// Where results and states go.
    pub ends: Endpoints,
    /// The onlookers.
    pub watch: RunContext,
    /// How it moves on.
    pub pace: RunOptions,
}

/// How a run moves on. None of it can be seen in what comes out.
#[derive(Debug, Clone, Copy)]
pub struct RunOptions {
    /// Threads that work on partitions.
    pub workers: usize,
    /// Time between two commits.
    pub commit_every: Duration,
    /// How long making a state again may take; a state is saved before it would be longer.
    pub recover_within: Duration,
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records read.
    pub records: u64,
    /// Rejects put out.
    pub rejects: u64,
    /// Forecasts put out.
    pub forecasts: u64,
    /// Scores put out.
    pub scores: u64,
    /// Windows closed of all partitions since their first records.
    pub windows: u64,
    /// Forecasts put out of all partitions since their first records.
    pub all_forecasts: u64,
}

impl Summary {
    /// With what these partitions have done since their first records.
    pub(super) fn with_totals<'a>(mut self, partitions: impl Iterator<Item = &'a Partition>) -> Self {
        for partition in partitions {
            self.windows += partition.stats().windows_closed;
            self.all_forecasts += partition.emitted().forecasts;
        }
        self
    }

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
        self.all_forecasts += other.all_forecasts;
    }
}
