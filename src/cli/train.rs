//! `train`: a pipeline's history through its windows and features, a network trained on it offline,
//! its weights in a file.
//! It must not touch what a run leaves behind: no sink, no state, no consumer group.

mod report;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use tickcast_connect::Span;
use tickcast_forecast::{ExpertKind, ForecastSpec, Horizon, Scope};
use tickcast_forecast::{Recorder, meaning, network_spec};
use tickcast_model::{
    TrainedNetwork, TrainingMode, TrainingProgress, TrainingSequence, TrainingSettings, file,
    train as train_network,
};
use tickcast_stream::closed_window;
use tickcast_stream::error::{Error, Kind, OrFail};
use tickcast_stream::runtime::{RunContext, read_history};

use self::report::{Bar, table};
use super::progress::reading;
use super::say::{say, tell};
use super::which_target::which_target;
use super::{output_file, run};
use crate::clock::closes;
use crate::config::Pipeline;
use crate::factory::factory_for;
use crate::failure::{Failure, Outcome, check_clients, placed};

/// The options of `train`.
#[derive(Args)]
pub struct TrainArgs {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// Where the weights go, as safetensors.
    #[arg(long, value_name = "W.safetensors")]
    file: PathBuf,
    /// The target whose network it is; needed when forecast.target has several.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Passes over the history, at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Epochs without a better held-out loss after which training ends.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    patience: u32,
    /// Windows an update, of mini-batches.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// What an update is made of.
    #[arg(long, value_enum, default_value = "mini-batch")]
    mode: ModeArg,
    /// Share of the history, its end, that is not trained on but judges.
    #[arg(long, default_value_t = 0.2, value_parser = share)]
    holdout: f64,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModeArg {
    /// The next steps of every series, in the order of time.
    Online,
    /// Shuffled windows.
    MiniBatch,
    /// All of the history at once, backpropagated in full.
    FullBatch,
}

fn share(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("a number between 0 and 1 is needed".to_owned()),
    }
}

/// Trains on the pipeline's history, writes the weights, and shows the losses.
pub fn train(pipeline: &Pipeline, args: &TrainArgs) -> Outcome {
    let plan = &pipeline.plan;
    check_clients(pipeline)?;
    let (_, forecast) = which_target(plan, args.target.as_deref())?;
    if !forecast.experts.contains(&ExpertKind::Rnn) {
        let fault =
            pipeline.fault(&["forecast", "experts"], "there is no rnn among them, so nothing to train");
        return Err(Failure::Pipeline(crate::config::Faults(vec![fault])));
    }

    output_file::can_be_written(&args.file)?;
    let bar = reading();
    let counted = bar.clone();
    let watch = run::watch(plan, Arc::new(move |records| counted.inc(records)))?;

    let sequences = record(pipeline, forecast, args, &watch, &bar)?;
    if forecast.model.scope == Scope::Series {
        tell("scope: series: one network is trained on all series; each of them starts from it");
    }

    let training = training(forecast, args);
    let spec = network_spec(forecast);
    let started = Instant::now();
    let mut bar = Bar::new(training.epochs);
    let trained = train_network(spec, &training, &sequences, &mut |progress: TrainingProgress<'_>| {
        bar.show(&progress);
        go_on(&watch.stop)
    });
    bar.finish();

    let trained = trained.or_fail(Kind::Source, || "cannot train on this history")?;
    let bytes = file::write(&spec, &trained.params, &metadata(&plan.name, forecast, &trained));
    output_file::write(&args.file, &bytes.or_fail(Kind::Io, || "the weights cannot be written")?)?;
    say(&table(&trained, started.elapsed(), &args.file))?;
    Ok(())
}

/// What the file says of itself: what the network's inputs mean, and how good it is.
fn metadata(pipeline: &str, forecast: &ForecastSpec, trained: &TrainedNetwork) -> BTreeMap<String, String> {
    let best = &trained.history[trained.best];
    let said = [
        ("pipeline", pipeline.to_owned()),
        ("epoch", trained.best.to_string()),
        ("held_out_loss", best.held_out.to_string()),
        ("naive_loss", trained.naive.to_string()),
    ];
    let mut metadata = meaning(forecast);
    metadata.extend(said.map(|(key, value)| (key.to_owned(), value)));
    metadata
}

fn go_on(stop: &AtomicBool) -> ControlFlow<()> {
    if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

fn training(plan: &ForecastSpec, args: &TrainArgs) -> TrainingSettings {
    let model = &plan.model;
    TrainingSettings {
        mode: match args.mode {
            ModeArg::Online => TrainingMode::Online,
            ModeArg::MiniBatch => TrainingMode::MiniBatch(args.batch as usize),
            ModeArg::FullBatch => TrainingMode::FullBatch,
        },
        bptt: model.bptt,
        lags: plan.horizons.iter().map(|&horizon| i64::from(horizon)).collect(),
        epochs: args.epochs as usize,
        patience: args.patience as usize,
        holdout: args.holdout,
        loss: model.loss.clone(),
        optimizer: model.optimizer,
        clip: model.clip,
        seed: model.seed,
        backend: model.backend,
    }
}

/// The history of every series. Errors: besides those of reading, `Source`, when nothing can be
/// trained on it.
fn record(
    pipeline: &Pipeline,
    forecast: &ForecastSpec,
    args: &TrainArgs,
    watch: &RunContext,
    bar: &ProgressBar,
) -> Outcome<Vec<TrainingSequence>> {
    let plan = &pipeline.plan;
    let mut open = plan.source.open_history(Span::default())?;
    let factory = placed(pipeline, factory_for(plan, &mut open))?.closing_at(closes(plan)?);

    let mut recorder = Recorder::new(forecast, plan.window.kind.order());
    let read = read_history(&factory, open.source.as_mut(), watch, &mut |partition, batch| {
        let Some(window) = closed_window::window(batch)? else { return Ok(()) };
        let rows = closed_window::rows(batch, &forecast.features)?;
        recorder.take(partition.0, window, &rows).or_fail(Kind::Source, || "cannot record the history")
    });

    bar.finish_and_clear();
    let Some(records) = read? else {
        return Err(failed("stopped before the history was read; no weights were written"));
    };

    let (series, windows) = (recorder.series(), recorder.windows());
    tell(&format!("{records} records, {series} series, {windows} windows; {}", watch.metrics.rejects()));
    if series == 0 {
        return Err(failed(&format!("no series: {}", what_is_missing(forecast, records))));
    }
    can_be_learned(forecast, args, &recorder)?;
    Ok(recorder.finish())
}

/// Whether a network can be trained on this history. Errors: `Source`, with the reason.
fn can_be_learned(forecast: &ForecastSpec, args: &TrainArgs, recorder: &Recorder) -> Outcome {
    let windows = recorder.windows();
    let needed = windows_needed(forecast, args.holdout);
    if windows < needed {
        return Err(failed(&format!(
            "the history is too short: it has {windows} windows, a horizon of {} with {} held out needs {needed}",
            forecast.horizons.last().unwrap_or(&Horizon(1)),
            args.holdout
        )));
    }

    if !recorder.moves() {
        let target = &forecast.target;
        return Err(failed(&format!("{target} never changes in this history: there is nothing to learn")));
    }
    Ok(())
}

fn failed(what: &str) -> Failure {
    Failure::Runtime(Error::new(Kind::Source, what))
}

fn what_is_missing(forecast: &ForecastSpec, records: u64) -> String {
    match records {
        0 => "the source has no records".to_owned(),
        _ => format!("none of {records} records has a value for {}", forecast.target),
    }
}

/// Windows of a series until every horizon has a label to train on and one held out: h until there
/// is a scale, h until the truth before the tail, 1 and h in the tail.
fn windows_needed(plan: &ForecastSpec, holdout: f64) -> i64 {
    let horizon = f64::from(plan.horizons.last().copied().unwrap_or(Horizon(1)));
    let trained = (2.0 * horizon + 1.0) / (1.0 - holdout);
    let held_out = (horizon + 1.0) / holdout;
    trained.max(held_out).ceil() as i64
}
