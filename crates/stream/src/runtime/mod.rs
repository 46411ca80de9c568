//! Runners: the same dataflow in a plain loop, or in threads.
//! It must not compute: operators decide what comes out, runners when it is done.

mod backoff;
mod chain;
mod channels;
mod commit_pace;
mod compat;
mod context;
mod endpoints;
mod exactly_once;
mod factory;
mod front;
mod heartbeat;
mod history;
mod image;
mod inline;
mod job;
mod muting;
mod outputs;
mod partition;
mod partition_output;
mod phases;
mod queue;
mod reader;
mod rebuild;
mod recovery;
mod replay_debt;
mod replays;
mod retry_policy;
mod sink_watch;
mod snapshots;
mod threads;
#[cfg(test)]
mod threads_tests;
mod verify;
mod worker;
mod writer;

pub use backoff::Backoff;
pub use compat::RestorePoint;
pub use context::RunContext;
pub use endpoints::Endpoints;
pub use exactly_once::{ExactlyOnce, LostPartitions};
pub use factory::{NewDecoder, NewWindow, PipelineFactory, PipelineParts};
pub use front::AheadRule;
pub use heartbeat::Heartbeat;
pub use history::{Reader, read_history, read_to_end};
pub use image::PendingSnapshot;
pub use inline::run_inline;
pub use job::{Job, RunOptions, Summary};
pub use outputs::{AtLeastOnce, Outputs, Ticket};
pub use partition::Partition;
pub use partition_output::{Deliver, PartitionOutput};
pub use rebuild::rebuild;
pub use recovery::{Opened, open_partition};
pub use retry_policy::RetryPolicy;
pub use threads::run_threads;
pub use verify::{Finding, Verified, verify};
