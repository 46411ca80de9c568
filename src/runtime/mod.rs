//! Runners: the same dataflow in a plain loop, or in threads.
//! It must not compute: operators decide what comes out, runners when it is done.

mod blueprint;
mod ends;
mod exactly_once;
mod history;
mod image;
mod inline;
mod outputs;
mod partition;
mod relearn;
mod shutdown;
mod threads;
mod verify;
mod watch;
mod worker;

use std::sync::Arc;
use std::time::Duration;

pub use blueprint::{Blueprint, Known};
pub use ends::{Ends, Opened, audit, exact, open_partition};
pub use exactly_once::{ExactlyOnce, Lost};
pub use history::{Reader, read_history, read_to_end};
pub use image::FrozenSnapshot;
pub use inline::run_inline;
pub use outputs::{Durable, Outputs};
pub use partition::{Deliver, Outcome, Partition};
pub use relearn::relearn;
pub use shutdown::on_signal;
pub use threads::run_threads;
pub use verify::{Finding, Verified, verify};
pub use watch::Watch;

use crate::ingest::Source;
use crate::message::Stream;

/// Everything a run needs.
pub struct Job {
    pub blueprint: Arc<Blueprint>,
    pub source: Box<dyn Source>,
    pub ends: Ends,
    pub watch: Watch,
    pub pace: Pace,
}

/// How a run moves on. None of it can be seen in what comes out.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
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
    fn count(&mut self, outcome: &partition::Outcome) {
        for (stream, rows) in &outcome.results {
            let rows = rows.num_rows() as u64;
            match stream {
                Stream::Forecasts => self.forecasts += rows,
                Stream::Scores => self.scores += rows,
                Stream::Rejects => self.rejects += rows,
            }
        }
    }

    fn add(&mut self, other: Summary) {
        self.records += other.records;
        self.rejects += other.rejects;
        self.forecasts += other.forecasts;
        self.scores += other.scores;
        self.windows += other.windows;
    }
}
