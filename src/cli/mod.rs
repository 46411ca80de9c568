//! The command line: verbs, exit codes, logs. Results go to stdout; logs and progress to stderr.
//! It must not hold logic of its own: each verb puts rooms together.

mod args;
mod backtest;
mod check;
mod demo;
mod model;
mod outcome;
mod output_file;
mod progress;
mod replay;
mod run;
mod say;
mod schema;
mod signals;
mod sql;
mod train;
mod verify;
mod which_target;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tracing_subscriber::EnvFilter;

use self::args::{Cli, Global, LogFormat, Verb};
use self::model::ModelVerb;
use self::outcome::{VerbResult, usage};
use crate::config;

/// More than the partitions of any source need.
const FILES_WANTED: u64 = 65_536;

/// Runs the command line of this process. Exit code: 0 done, 1 failed, 2 usage, 3 not all was
/// verified, 78 bad pipeline file.
pub fn main() -> ExitCode {
    // Of a test: `FAILPOINTS="ledger.produced=3*off->return"` dies at that step of the fourth
    // commit.
    #[cfg(debug_assertions)]
    let _armed = std::env::var_os("FAILPOINTS").map(|_| fail::FailScenario::setup());

    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    start_logs(&cli.global);
    raise_file_limit();
    match dispatch(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => failed.report(&mut Cli::command()),
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
        Verb::Sql(args) => sql::sql(&load(&args.pipeline)?, args)?,
        Verb::ReplayRejects(args) => replay::replay(&load(&args.pipeline)?.plan, args)?,
        Verb::Train(args) => train::train(&load(&args.pipeline)?, args)?,
        Verb::Model(ModelVerb::Export(args)) => model::export(&load(&args.pipeline)?, args)?,
        Verb::Model(ModelVerb::Import(args)) => model::import(&load(&args.pipeline)?, args)?,
        Verb::Schema(args) => schema::schema(sets, args)?,
    }
    Ok(())
}

/// Takes as many descriptors as the system gives: a soft limit of 1024 is for programs that use
/// `select`.
fn raise_file_limit() {
    if let Err(cause) = rlimit::increase_nofile_limit(FILES_WANTED) {
        tracing::debug!(%cause, "the limit of open files stays as it is");
    }
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
