//! The command line: verbs, exit codes, logs. Results go to stdout; logs and progress to stderr.
//! It must not hold logic of its own: each verb puts rooms together.

mod backtest;
mod check;
mod demo;
mod model;
mod run;
mod signals;
mod train;
mod verify;
mod weights;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tickcast_sql::query::{self, Session};
use tracing_subscriber::EnvFilter;

use crate::config::{self};
use crate::failure::Failure;

/// Exit code of a bad pipeline file: sysexits' EX_CONFIG.
const BAD_PIPELINE: u8 = 78;

#[derive(Parser)]
#[command(
    name = "tickcast",
    version,
    about = "Kafka topics of ticks in, calibrated forecasts out, learning while it runs"
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    global: Global,
}

#[derive(Args)]
struct Global {
    /// How logs look on stderr.
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// More logs: -v debug, -vv trace.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Sets a key of the pipeline file, like workers=4 or window.lateness=5m; may be given again.
    #[arg(long = "set", global = true, value_name = "KEY.PATH=VALUE")]
    sets: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs a pipeline until its input ends or a signal comes.
    Run {
        pipeline: PathBuf,
        #[command(flatten)]
        beginning: run::Beginning,
    },
    /// Checks a pipeline file: every fault with its line and column.
    Check {
        pipeline: PathBuf,
        /// Also reach the brokers and compare the topics.
        #[arg(long)]
        connect: bool,
    },
    /// Replays a year of New York's hourly weather and shows how well it was forecast. Needs no broker.
    Demo {
        /// End after the scoreboard instead of serving metrics.
        #[arg(long)]
        no_serve: bool,
    },
    /// Judges the pipeline by its source's past: errors, skill, intervals and experts a horizon. Writes no results, keeps no
    /// state, joins no group.
    Backtest(backtest::BacktestArgs),
    /// Makes everything again from the input, and compares it with what the sinks hold, byte by byte.
    Verify { pipeline: PathBuf },
    /// Queries the forecasts, scores and rejects of a pipeline with SQL, read-only.
    Sql {
        pipeline: PathBuf,
        /// Such as "SELECT horizon, avg(abs(error)) FROM scores GROUP BY horizon".
        query: String,
        #[arg(long, value_enum, default_value = "table")]
        format: SqlFormat,
    },
    /// Trains the network on the pipeline's history until it gets no better, and writes its weights.
    Train(train::TrainArgs),
    /// Learned weights to a file and back.
    #[command(subcommand)]
    Model(model::Model),
    /// Prints the JSON Schema of the pipeline file, for editors.
    Schema,
}

#[derive(Clone, Copy, ValueEnum)]
enum SqlFormat {
    Table,
    /// One object a line.
    Json,
    Csv,
}

/// How a verb failed.
enum Failed {
    /// The pipeline did.
    Pipeline(Failure),
    /// All went well, but what was asked for does not hold.
    Unmet(String),
}

impl<E: Into<Failure>> From<E> for Failed {
    fn from(failure: E) -> Self {
        Failed::Pipeline(failure.into())
    }
}

type VerbResult<T = ()> = std::result::Result<T, Failed>;

/// Runs the command line of this process. Exit code: 0 done, 1 failed, 2 usage, 78 bad pipeline file.
pub fn main() -> ExitCode {
    // Of a test: `FAILPOINTS="ledger.produced=3*off->return"` dies at that step of the fourth commit.
    #[cfg(debug_assertions)]
    let _armed = std::env::var_os("FAILPOINTS").map(|_| fail::FailScenario::setup());
    let cli = Cli::parse();
    start_logs(&cli.global);
    match dispatch(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed::Pipeline(Failure::Pipeline(faults))) => {
            eprintln!("{faults}");
            ExitCode::from(BAD_PIPELINE)
        }
        Err(Failed::Pipeline(Failure::Runtime(error))) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
        Err(Failed::Unmet(what)) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: &Cli) -> VerbResult {
    let sets = &cli.global.sets;
    let load = |path: &Path| config::load(path, sets);
    match &cli.verb {
        Verb::Run { pipeline, beginning } => run::run(load(pipeline)?, beginning)?,
        Verb::Check { pipeline, connect } => check::check(&load(pipeline)?, *connect)?,
        Verb::Backtest(args) => backtest::backtest(sets, args)?,
        Verb::Verify { pipeline } => verify::verify(&load(pipeline)?)?,
        Verb::Demo { no_serve } => demo::demo(sets, !no_serve)?,
        Verb::Sql { pipeline, query, format } => {
            let format = match format {
                SqlFormat::Table => query::OutputFormat::Table,
                SqlFormat::Json => query::OutputFormat::Json,
                SqlFormat::Csv => query::OutputFormat::Csv,
            };
            let tables = load(pipeline)?.plan.tables()?;
            Session::open(tables)?.answer(query, format, &mut std::io::stdout().lock())?;
        }
        Verb::Train(args) => train::train(&load(&args.pipeline)?, args)?,
        Verb::Model(model::Model::Export(args)) => model::export(&load(&args.pipeline)?, args)?,
        Verb::Model(model::Model::Import { pipeline, file }) => model::import(&load(pipeline)?, file)?,
        Verb::Schema => say(&format!("{:#}", config::schema())),
    }
    Ok(())
}

fn start_logs(global: &Global) {
    let level = ["info", "debug", "trace"][usize::from(global.verbose.min(2))];
    let default = format!("warn,tickcast={level}");
    let filter = EnvFilter::try_from_env("TICKCAST_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colours = std::io::stderr().is_terminal();
    let logs =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    match global.log_format {
        LogFormat::Text => logs.with_target(false).init(),
        LogFormat::Json => logs.json().init(),
    }
}

/// A line on standard output; one that nobody reads any more (`| head`) is no failure.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
