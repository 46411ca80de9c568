//! `run`: a pipeline until its input ends or a signal comes.
//! It must not know how records flow; it launches the pipeline and shows what came of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::Args;
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::runtime::{Heartbeat, RunContext, Summary};
use tickcast_stream::telemetry::Health;

use super::say::tell;
use super::signals::on_signal;
use crate::config::Pipeline;
use crate::config::plan::Plan;
use crate::failure::Outcome;
use crate::launch::{LaunchOptions, launch, metrics};

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
    /// An input that ends and of which no forecast was made is no failure.
    #[arg(long)]
    pub allow_empty: bool,
}

/// Runs the pipeline; of an input that ends it shows how good the forecasts were.
pub fn run(pipeline: Pipeline, beginning: &Beginning) -> Outcome {
    let bounded = pipeline.plan.source.traits().is_bounded;
    let filters = pipeline.plan.prepare.filter.is_some();
    let targets = if pipeline.plan.targets.are_several() { "each target" } else { "the target" };
    let stop = Arc::new(AtomicBool::new(false));
    on_signal(&stop)?;
    let started = Instant::now();
    let options = LaunchOptions {
        bootstrap: beginning.bootstrap,
        rebuild: beginning.rebuild,
        home: home(),
        stop: Arc::clone(&stop),
        ..LaunchOptions::default()
    };

    let mut running = launch(pipeline, options)?;
    let summary = running.finish()?;
    if let (Some(summary), true) = (summary, bounded) {
        let metrics = running.metrics();
        tell(&metrics.rejects());
        tell(&metrics.scoreboard().render(summary.windows, summary.records, started.elapsed()));
    }
    let (notes, is_stopped) = (running.notes(), stop.load(Ordering::Relaxed));
    running.wait()?;
    match summary {
        Some(summary) if bounded && !beginning.allow_empty && !is_stopped => {
            insist_on_forecasts(&summary, notes, filters, targets)
        }
        _ => Ok(()),
    }
}

/// Of an input that has ended, something was forecast, in this run or before.
fn insist_on_forecasts(summary: &Summary, notes: Vec<String>, filters: bool, targets: &str) -> Outcome {
    if summary.all_forecasts > 0 {
        return Ok(());
    }
    let why = match (summary.records, summary.windows) {
        _ if !notes.is_empty() => notes.join("; "),
        (0, 0) => "the input has no records".to_owned(),
        (_, 0) if filters => "no record is left that `where` is true of".to_owned(),
        (_, 0) => "no window has closed".to_owned(),
        (_, windows) => format!("{targets} was null in all {windows} windows"),
    };
    Err(Error::new(Kind::Source, format!("no forecast was made: {why} (--allow-empty: no failure)")).into())
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
        metrics: Arc::new(metrics(plan)?),
        health: Arc::new(Health::default()),
        stop,
        progress,
        pulse: Heartbeat::default(),
    })
}
