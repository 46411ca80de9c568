//! `backtest`: the dataflow of `run` over the source's past, judged; nothing is written but what is
//! asked for.
//! It must not touch what a run leaves behind: no sink, no state, no consumer group.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use tickcast_connect::Span;
use tickcast_stream::error::{Error, Kind, OrFail};
use tickcast_stream::message::EventTime;
use tickcast_stream::runtime::RunContext;

use super::outcome::{Failed, VerbResult};
use super::progress::reading;
use super::say::{say, tell};
use super::{output_file, run};
use crate::backtest::assertion::{Assertion, Checked};
use crate::backtest::sweep::{Setting, Sweep, combinations};
use crate::backtest::table::{self, Trial};
use crate::backtest::{Backtest, BacktestSettings, backtest as judge, report};
use crate::clock::closes;
use crate::config::{self, Faults, Pipeline};
use crate::factory::{factory_for, factory_unread};
use crate::failure::{Failure, Outcome, check_clients, placed};
use crate::launch::metrics;

/// The options of `backtest`.
#[derive(Args)]
pub struct BacktestArgs {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// Also writes a page with charts, which needs no network.
    #[arg(long, value_name = "OUT.html")]
    report: Option<PathBuf>,
    /// Prints one JSON document instead of tables.
    #[arg(long)]
    json: bool,
    /// Windows at the beginning of each series that are learned from and not scored.
    #[arg(long, value_name = "WINDOWS", default_value_t = 0)]
    skip: u64,
    /// Begins a topic at its first record that Kafka got at this time or later, like
    /// 2026-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Ends before the first record that Kafka got at this time or later.
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// Runs once for each value of a key of the pipeline file, like forecast.model.hidden=16,32;
    /// given again, for each combination.
    #[arg(long, value_name = "KEY.PATH=A,B,C")]
    sweep: Vec<Sweep>,
    /// What must hold, like "skill[1]>0.2" or "coverage[1,0.9]>=0.88"; else the exit code is 1. May
    /// be given again; in a sweep it must hold for every setting. With several targets it must hold
    /// for each, or for the one in front, like "wind.skill[1]>0.2".
    #[arg(long, value_name = "EXPR")]
    assert: Vec<Assertion>,
}

/// Judges the pipeline under every setting of the sweep, and prints the result. Errors: also when
/// an assertion does not hold.
pub fn backtest(sets: &[String], args: &BacktestArgs) -> VerbResult {
    let pipelines = load(sets, args)?;
    if let Some(page) = &args.report {
        output_file::can_be_written(page)?;
    }
    let Some((_, first)) = pipelines.first() else { return Ok(()) };

    let watch = run::watch(&first.plan, Arc::new(|_| ()))?;
    let (trials, best) = try_all(&pipelines, args, &watch)?;
    if trials.is_empty() {
        return Err(failed("stopped before the history was read to its end; there is no result").into());
    }

    print(args, &trials)?;
    if let (Some(page), Some((number, judged))) = (&args.report, &best) {
        let html = report::page(judged, &trials, *number);
        output_file::write(page, html.as_bytes())?;
    }
    if trials.len() < pipelines.len() {
        let (done, all) = (trials.len(), pipelines.len());
        return Err(failed(&format!("stopped after {done} of {all} settings")).into());
    }
    check_assertions(&args.assert, &trials)
}

/// The pipeline under every setting; all of them are checked before the first is run.
fn load(sets: &[String], args: &BacktestArgs) -> VerbResult<Vec<(Setting, Pipeline)>> {
    let mut pipelines = Vec::new();
    for settings in combinations(&args.sweep) {
        let swept = settings.iter().map(|(key, value)| format!("{key}={value}"));
        let sets: Vec<String> = sets.iter().cloned().chain(swept).collect();
        let pipeline = config::load(&args.pipeline, &sets)?;
        check_clients(&pipeline)?;
        placed(&pipeline, factory_unread(&pipeline.plan))?;
        pipelines.push((settings, pipeline));
    }

    let is_span = args.from.is_some() || args.to.is_some();
    if is_span && pipelines.iter().any(|(_, of)| of.plan.source.traits().is_bounded) {
        return Err(Failed::conflict("--from and --to are times of a Kafka topic; this source is none"));
    }

    for (_, pipeline) in pipelines.iter().skip(1) {
        if !pipeline.plan.source.traits().is_replayable {
            let what = "standard input can be read once, not for each setting of a sweep";
            return Err(Faults(vec![pipeline.fault(&["source", "file", "path"], what)]).into());
        }
    }
    Ok(pipelines)
}

/// The number of the best setting, and its backtest as a whole.
type Best = Option<(usize, Backtest)>;

/// A backtest of every setting until a signal comes, and the whole of the best.
fn try_all(
    pipelines: &[(Setting, Pipeline)],
    args: &BacktestArgs,
    watch: &RunContext,
) -> Outcome<(Vec<Trial>, Best)> {
    let mut trials = Vec::new();
    let mut best = None;
    for (number, (settings, pipeline)) in pipelines.iter().enumerate() {
        let about = (pipelines.len() > 1).then(|| format!("{}/{}  ", number + 1, pipelines.len()));
        let Some(judged) = one(pipeline, args, watch, about.unwrap_or_default())? else { break };
        trials.push(Trial { settings: settings.clone(), measured: judged.measured.clone() });
        // Only the best is kept whole: its details are drawn.
        if table::best(&trials) == Some(number) {
            best = Some((number, judged));
        }
    }
    Ok((trials, best))
}

/// One backtest; none, when a signal ended it.
fn one(
    pipeline: &Pipeline,
    args: &BacktestArgs,
    watch: &RunContext,
    about: String,
) -> Outcome<Option<Backtest>> {
    let bar = reading().with_prefix(about);
    let counted = bar.clone();
    let watch = RunContext {
        metrics: Arc::new(metrics(&pipeline.plan)?),
        progress: Arc::new(move |records| counted.inc(records)),
        ..watch.clone()
    };

    let at = |time: Timestamp| EventTime(time.as_microsecond());
    let span = Span { from: args.from.map(at), to: args.to.map(at) };
    let mut open = pipeline.plan.source.open_history(span)?;
    let factory = placed(pipeline, factory_for(&pipeline.plan, &mut open))?;
    let factory = factory.closing_at(closes(&pipeline.plan)?);

    let settings = BacktestSettings { skip: args.skip, is_drawn: args.report.is_some() };

    let judged = judge(&pipeline.plan, &factory, open.source.as_mut(), &watch, settings);

    bar.finish_and_clear();
    let judged = judged?;
    if judged.as_ref().is_some_and(|judged| judged.measured.rejected > 0) {
        tell(&watch.metrics.rejects());
    }
    Ok(judged)
}

fn print(args: &BacktestArgs, trials: &[Trial]) -> Outcome {
    let is_sweep = !args.sweep.is_empty();
    let text = match trials {
        _ if args.json && is_sweep => document(&trials)?,
        [trial, ..] if args.json => document(&trial.measured)?,
        [trial] if !is_sweep => table::one(&trial.measured),
        _ => table::sweep(trials),
    };
    say(&text)?;
    Ok(())
}

fn document(of: &impl Serialize) -> Outcome<String> {
    Ok(serde_json::to_string_pretty(of).or_fail(Kind::Io, || "the result cannot be written as JSON")?)
}

/// Says of each whether it holds. Errors: when one does not.
fn check_assertions(assertions: &[Assertion], trials: &[Trial]) -> VerbResult {
    let mut broken = 0;
    for trial in trials {
        let settings: String = trial.settings.iter().map(|(key, value)| format!("{key}={value}: ")).collect();
        for assertion in assertions {
            let checked = assertion.check(&trial.measured);
            if checked.is_empty() {
                tell(&format!("{settings}{assertion} does not hold: there is no such target"));
                broken += 1;
            }

            for Checked { target, value, holds } in checked {
                let target = target.map_or_else(String::new, |target| format!("{target}: "));
                let word = if holds { "holds" } else { "does not hold" };
                let value =
                    value.map_or_else(|| "there is no value".to_owned(), |value| format!("it is {value}"));
                tell(&format!("{settings}{target}{assertion} {word}: {value}"));
                broken += usize::from(!holds);
            }
        }
    }

    match broken {
        0 => Ok(()),
        1 => Err(Failed::Unmet("one assertion does not hold".to_owned())),
        _ => Err(Failed::Unmet(format!("{broken} assertions do not hold"))),
    }
}

fn failed(what: &str) -> Failure {
    Failure::Runtime(Error::new(Kind::Source, what))
}
