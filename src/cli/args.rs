//! The command line as it is written: verbs and their options.
//! It must not know what a verb does: a verb with many options keeps them beside its code.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::backtest::BacktestArgs;
use super::model::ModelVerb;
use super::replay::ReplayArgs;
use super::run::Beginning;
use super::schema::SchemaArgs;
use super::sql::SqlArgs;
use super::train::TrainArgs;

/// The whole command line.
#[derive(Parser)]
#[command(
    name = "tickcast",
    version,
    about = "Kafka topics of ticks in, calibrated forecasts out, learning while it runs"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// What every verb understands.
    #[command(flatten)]
    pub global: Global,
}

/// Options of every verb.
#[derive(Args)]
pub struct Global {
    /// How logs look on stderr.
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// More logs: -v debug, -vv trace.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Sets a key of the pipeline file, like workers=4 or window.lateness=5m; may be given again.
    #[arg(long = "set", global = true, value_name = "KEY.PATH=VALUE")]
    pub sets: Vec<String>,
}

/// How logs look: lines for people, or one JSON object a line.
// Its words have no `///`: clap would print the help of every verb in its long form.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

/// What tickcast is asked to do.
#[derive(Subcommand)]
pub enum Verb {
    /// Runs a pipeline until its input ends or a signal comes.
    Run {
        /// The pipeline file.
        pipeline: PathBuf,
        /// How the run begins.
        #[command(flatten)]
        beginning: Beginning,
    },
    /// Checks a pipeline file: every fault with its line and column.
    Check {
        /// The pipeline file.
        pipeline: PathBuf,
        /// Also reach the brokers and compare the topics.
        #[arg(long)]
        connect: bool,
    },
    /// Replays a year of New York's hourly weather and shows how well it was forecast. Needs no
    /// broker.
    Demo {
        /// End after the scoreboard instead of serving metrics.
        #[arg(long)]
        no_serve: bool,
    },
    /// Judges the pipeline by its source's past: errors, skill, intervals and experts a horizon.
    /// Writes no results, keeps no state, joins no group.
    Backtest(BacktestArgs),
    /// Makes everything again from the input, and compares it with what the sinks hold, byte by
    /// byte. Exit code: 0 all is equal, 1 something differs, 3 nothing differs, but not all could
    /// be compared.
    Verify {
        /// The pipeline file.
        pipeline: PathBuf,
    },
    /// Queries the forecasts, scores and rejects of a pipeline with SQL, read-only.
    Sql(SqlArgs),
    /// Sends rejects back to the source's topic, as the records that they were. Each goes once,
    /// however often this is run.
    ReplayRejects(ReplayArgs),
    /// Trains the network on the pipeline's history until it gets no better, and writes its
    /// weights.
    Train(TrainArgs),
    /// Learned weights to a file and back.
    #[command(subcommand)]
    Model(ModelVerb),
    /// Prints the JSON Schema of the pipeline file, for editors; or the schema of its results, for
    /// those who read them.
    Schema(SchemaArgs),
}
