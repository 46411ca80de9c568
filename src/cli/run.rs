//! `run`: a pipeline until its input ends or a signal comes.
//! It must not know how records flow; it launches the pipeline and shows what came of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Args;
use tickcast_stream::error::Result;
use tickcast_stream::runtime::{Heartbeat, RunContext};
use tickcast_stream::telemetry::{Health, Metrics};

use super::say::tell;
use super::signals::on_signal;
use crate::config::Pipeline;
use crate::config::plan::Plan;
use crate::failure::Outcome;
use crate::launch::{LaunchOptions, launch};

/// How a run begins.
#[derive(Args, Default)]
pub struct Beginning {
    /// Begin at the source's start where results are there and nothing says how far they go
    /// (offsets have expired, or the group is another one). Some results may be written again.
    #[arg(long)]
    pub bootstrap: bool,
    /// First rebuild the state: read the whole input up to the last commit again, in silence, under
    /// the pipeline file as it is now, and put what is learned in place of the state. Results go on
    /// after the last commit. No other instance may run.
    #[arg(long, alias = "reset-state")]
    pub rebuild: bool,
}

/// Runs the pipeline; of an input that ends it shows how good the forecasts were.
pub fn run(pipeline: Pipeline, beginning: &Beginning) -> Outcome {
    let bounded = pipeline.plan.source.traits().is_bounded;
    let stop = Arc::new(AtomicBool::new(false));
    on_signal(&stop)?;
    let started = Instant::now();
    let options = LaunchOptions {
        bootstrap: beginning.bootstrap,
        rebuild: beginning.rebuild,
        home: home(),
        stop,
        ..LaunchOptions::default()
    };

    let mut running = launch(pipeline, options)?;
    let summary = running.finish()?;
    if let (Some(summary), true) = (summary, bounded) {
        let metrics = running.metrics();
        tell(&metrics.rejects());
        tell(&metrics.scoreboard().render(summary.windows, summary.records, started.elapsed()));
    }
    running.wait()?;
    Ok(())
}

/// Where this machine's programs keep what they need when they start again: the XDG base
/// directories say so.
fn home() -> Option<PathBuf> {
    let said = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let states = said("XDG_STATE_HOME").or_else(|| Some(said("HOME")?.join(".local/state")))?;
    Some(states.join("tickcast"))
}

/// Who looks on at a verb that reads the past, with the signals bound to its stop flag.
pub fn watch(plan: &Plan, progress: Arc<dyn Fn(u64) + Send + Sync>) -> Result<RunContext> {
    let stop = Arc::new(AtomicBool::new(false));
    on_signal(&stop)?;
    Ok(RunContext {
        metrics: Arc::new(Metrics::new(&plan.name)?),
        health: Arc::new(Health::default()),
        stop,
        progress,
        pulse: Heartbeat::default(),
    })
}
