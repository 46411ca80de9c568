//! `model export` and `model import`: a pipeline's learned weights as a safetensors file, to
//! PyTorch and back.
//! It must not know how a state is built: a forecaster takes weights in and gives them out.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use tickcast_connect::ledger::{Hold, SnapshotDir};
use tickcast_connect::{KafkaTopicSpec, StateSpec, read_whole};
use tickcast_forecast::{ExpertKind, Forecaster, Scope, WeightsKind};
use tickcast_model::file::FILE_BYTES_MAX;
use tickcast_stream::PartitionId;
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::ledger::SnapshotStore;
use tickcast_stream::runtime::PipelineFactory;

use super::output_file;
use super::say::say;
use super::which_target::which_target;
use crate::config::plan::Plan;
use crate::config::{Faults, Pipeline};
use crate::factory::factory_unread;
use crate::failure::{Failure, Outcome, placed};

/// Of what the metadata of an exported file says beside the network's own shape.
const FORMAT_VERSION: &str = "1";
/// Series that a message names.
const NAMED: usize = 8;

/// What to do with learned weights.
#[derive(Subcommand)]
pub enum ModelVerb {
    /// Writes the weights that a run has learned as safetensors, with PyTorch's names and shapes.
    Export(ExportArgs),
    /// Gives weights to every network of a target: those of the state, and those still to come.
    Import(ImportArgs),
}

/// The options of `model import`.
#[derive(Args)]
pub struct ImportArgs {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// The weights, as safetensors with PyTorch's names and shapes.
    #[arg(long, value_name = "W.safetensors")]
    file: PathBuf,
    /// The target whose networks get them; needed when forecast.target has several.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
}

/// The options of `model export`.
#[derive(Args)]
pub struct ExportArgs {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// Where the weights go.
    #[arg(long, value_name = "W.safetensors")]
    file: PathBuf,
    /// The target whose network it is; needed when forecast.target has several.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// The partition whose network it is; needed when several have state.
    #[arg(long, value_name = "N")]
    partition: Option<i32>,
    /// The series whose network it is; needed with scope: series.
    #[arg(long, value_name = "KEY")]
    series: Option<String>,
    /// The moving average of the weights (the expert rnn), or the weights as the newest update left
    /// them (rnn_raw).
    #[arg(long, value_enum, default_value = "average")]
    weights: WhichWeights,
}

#[derive(Clone, Copy, ValueEnum)]
enum WhichWeights {
    Average,
    Raw,
}

/// Writes the weights of a network from the pipeline's state to a file.
pub fn export(pipeline: &Pipeline, args: &ExportArgs) -> Outcome {
    let plan = &pipeline.plan;
    let dir = state_dir(pipeline, "export")?;
    let (nth, _) = which_target(plan, args.target.as_deref())?;
    let factory = placed(pipeline, factory_unread(plan))?;
    if !dir.is_dir() {
        return Err(failed(format!("no state in {} yet: run the pipeline first", dir.display())));
    }
    let (partition, forecaster) = chosen(&factory, plan, nth, &SnapshotDir::open(dir)?, args)?;

    let (which, word) = match args.weights {
        WhichWeights::Average => (WeightsKind::Average, "average"),
        WhichWeights::Raw => (WeightsKind::Raw, "raw"),
    };
    let named = [
        ("format_version", FORMAT_VERSION.to_owned()),
        ("pipeline", plan.name.clone()),
        ("partition", partition.to_string()),
        ("weights", word.to_owned()),
    ];
    let series = args.series.clone().map(|series| ("series", series));
    let metadata: Vec<_> = named.into_iter().chain(series).collect();
    let bytes = forecaster
        .export(args.series.as_deref(), which, &metadata)
        .or_fail(Kind::State, || "cannot export the weights")?;
    output_file::write(&args.file, &bytes)?;
    let path = args.file.display();
    say(&format!("{path}: the {word} weights of partition {partition}, {} bytes", bytes.len()))?;
    Ok(())
}

/// Puts the weights of a file into the pipeline's state. Errors: `State`, when they do not fit.
pub fn import(pipeline: &Pipeline, args: &ImportArgs) -> Outcome {
    let dir = state_dir(pipeline, "import")?;
    let (nth, _) = which_target(&pipeline.plan, args.target.as_deref())?;
    let factory = placed(pipeline, factory_unread(&pipeline.plan))?;
    let path = &args.file;
    let weights = read(path)?;
    let refused = || format!("cannot import {}", path.display());

    // Even without any state yet they must fit.
    let mut forecasters = factory.forecasters();
    forecasters[nth].begin_with(&weights).or_fail(Kind::State, refused)?;
    for difference in forecasters[nth].other_meaning(&weights).or_fail(Kind::State, refused)? {
        tracing::warn!("the file was made for another pipeline: {difference}");
    }

    let ledger = SnapshotDir::open(dir)?;
    let _alone = ledger.lock(Hold::Alone)?;
    let initial = factory.initial_weights(ledger.initial_weights()?.as_deref(), nth, &weights);
    let mut snapshots = Vec::new();
    for partition in ledger.partitions()? {
        let Some(snapshot) = ledger.load(partition)? else { continue };
        let mut forecasters = factory.forecasters_of(&snapshot)?;
        forecasters[nth].import(&weights).or_fail(Kind::State, refused)?;
        snapshots.push(factory.with_forecasters(&snapshot, &forecasters)?);
    }
    ledger.replace(&snapshots, &initial)?;
    say(&format!("{}: {}; new networks begin with it", path.display(), imported(snapshots.len())))?;
    Ok(())
}

fn imported(partitions: usize) -> String {
    match partitions {
        0 => "no partition has state yet".to_owned(),
        1 => "imported into 1 partition".to_owned(),
        count => format!("imported into {count} partitions"),
    }
}

/// Where the pipeline's state is, if it has a network whose weights there can be.
fn state_dir<'a>(pipeline: &'a Pipeline, verb: &str) -> Outcome<&'a Path> {
    let plan = &pipeline.plan;
    let fault =
        |path: &[&str], message: String| Failure::Pipeline(Faults(vec![pipeline.fault(path, message)]));
    if !plan.targets.shared().experts.contains(&ExpertKind::Rnn) {
        let message = format!("model {verb} needs rnn among the experts: there is no network");
        return Err(fault(&["forecast", "experts"], message));
    }

    match &plan.state {
        Some(StateSpec::Dir(dir)) => Ok(dir),
        Some(StateSpec::Kafka(KafkaTopicSpec { topic, .. })) => {
            let message =
                format!("the state is in topic {topic}; model {verb} needs state: {{ dir: … }} for now");
            Err(fault(&["state"], message))
        }
        None => Err(fault(&["state"], format!("model {verb} needs state: {{ dir: … }}"))),
    }
}

/// The partition that the arguments mean, and its forecaster of the `nth` target.
fn chosen(
    factory: &PipelineFactory,
    plan: &Plan,
    nth: usize,
    ledger: &SnapshotDir,
    args: &ExportArgs,
) -> Outcome<(PartitionId, Forecaster)> {
    let is_own = plan.targets.shared().model.scope == Scope::Series;
    if !is_own && args.series.is_some() {
        return Err(failed("--series is for scope: series; here all series share one network"));
    }

    let named = args.partition.map(PartitionId);
    let all: Vec<PartitionId> = ledger.partitions()?.into_iter().collect();
    let wanted: Vec<PartitionId> =
        all.iter().copied().filter(|id| named.is_none_or(|wanted| wanted == *id)).collect();
    if wanted.is_empty() {
        return Err(failed(nothing_there(&all, named)));
    }
    if wanted.len() > 1 && !is_own {
        let which = listed(&all);
        return Err(failed(format!("several partitions have state, say which: --partition {which}")));
    }

    let mut known = Vec::new();
    for id in wanted {
        let Some(snapshot) = ledger.load(id)? else { continue };
        let forecaster = factory.forecasters_of(&snapshot)?.swap_remove(nth);
        let is_meant = |series: &str| args.series.as_deref().is_none_or(|wanted| wanted == series);
        if args.series.is_some() == is_own && forecaster.series().any(is_meant) {
            return Ok((id, forecaster));
        }
        known.extend(forecaster.series().map(str::to_owned));
    }
    Err(failed(nobody_meant(known, is_own, args.series.as_deref())))
}

/// What to say when none of the `known` series is the one that is `wanted`.
fn nobody_meant(mut known: Vec<String>, is_own: bool, wanted: Option<&str>) -> String {
    let there = if known.is_empty() {
        "no series has come yet".to_owned()
    } else {
        let more = if known.len() > NAMED { " and more" } else { "" };
        known.truncate(NAMED);
        format!("there are {}{more}", known.join(", "))
    };

    match wanted {
        Some(series) => format!("no series {series}: {there}"),
        None if is_own => format!("each series has its own network, say whose: --series KEY; {there}"),
        None => there,
    }
}

fn nothing_there(all: &[PartitionId], wanted: Option<PartitionId>) -> String {
    match wanted {
        Some(partition) if !all.is_empty() => {
            format!("partition {partition} has no state; there are {}", listed(all))
        }
        _ => "no partition has state yet: run the pipeline first".to_owned(),
    }
}

fn listed(ids: &[PartitionId]) -> String {
    let ids: Vec<String> = ids.iter().map(PartitionId::to_string).collect();
    ids.join(", ")
}

/// The bytes of a weights file. Errors: `Io`; a file that is larger than any weights are is not
/// read.
fn read(path: &Path) -> Result<Vec<u8>> {
    read_whole(path, FILE_BYTES_MAX as u64).or_fail(Kind::Io, || format!("cannot read {}", path.display()))
}

fn failed(what: impl Into<String>) -> Failure {
    Failure::Runtime(Error::new(Kind::State, what))
}
