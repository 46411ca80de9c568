//! `sql`: one query over a pipeline's results, within limits of memory and time.
//! It must not trust the query to stop: DataFusion counts most of its memory and looks for the end
//! of a query between batches, but one value of one row can be of any size and take any time.

use std::fs::File;
use std::io::{IsTerminal, Read, Seek};
use std::path::PathBuf;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tickcast_sql::query::{OutputFormat, Session};
use tickcast_stream::error::{Error, Kind, OrFail};

use super::say::tell;
use crate::config::Pipeline;
use crate::failure::Outcome;

/// Between two looks at the limits. Memory grows by some tens of megabytes in it.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The options of `sql`.
#[derive(Args)]
pub struct SqlArgs {
    /// The pipeline file.
    pub pipeline: PathBuf,
    /// Such as "SELECT horizon, avg(abs(error)) FROM scores GROUP BY horizon".
    query: String,
    /// How the answer is written.
    #[arg(long, value_enum, default_value = "table")]
    format: SqlFormat,
    /// How much memory the query may take, like 512MiB; a query that takes more ends.
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    memory: Size,
    /// How long the query may take, like 30s or 1h, or none; a query that takes longer ends.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    timeout: Timeout,
}

/// How an answer is written.
#[derive(Clone, Copy, ValueEnum)]
enum SqlFormat {
    /// A frame of lines around all rows.
    Table,
    /// One object a line.
    Json,
    /// A line of names, then one a row.
    Csv,
}

impl From<SqlFormat> for OutputFormat {
    fn from(format: SqlFormat) -> Self {
        match format {
            SqlFormat::Table => OutputFormat::Table,
            SqlFormat::Json => OutputFormat::Json,
            SqlFormat::Csv if std::io::stdout().is_terminal() => OutputFormat::CsvForTerminal,
            SqlFormat::Csv => OutputFormat::Csv,
        }
    }
}

/// Bytes, as people write them.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Size(u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit: u64 = match unit.trim() {
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err("write it like 512MiB or 2GiB".into()),
        };
        match number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)) {
            None => Err("write it like 512MiB or 2GiB".into()),
            Some(bytes) if bytes < 1 << 20 => Err("too little, at least 1MiB".into()),
            Some(bytes) => Ok(Size(bytes)),
        }
    }
}

/// A time, or none.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Timeout(Option<Duration>);

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Timeout(None));
        }
        let time = text.parse::<jiff::SignedDuration>().ok();
        match time.and_then(|time| Duration::try_from(time).ok()) {
            Some(time) if !time.is_zero() => Ok(Timeout(Some(time))),
            _ => Err("write it like 30s or 1h, or none".into()),
        }
    }
}

/// Answers the query on standard output. A query that goes beyond its limits ends the process with
/// exit code 1, and says so.
pub fn sql(pipeline: &Pipeline, args: &SqlArgs) -> Outcome {
    let tables = pipeline.plan.tables()?;
    // The rest is for what DataFusion does not count.
    let counted = usize::try_from(args.memory.0 / 4 * 3).unwrap_or(usize::MAX);
    let session = Session::open(tables, counted)?;

    let limits = Limits { memory: args.memory, timeout: args.timeout, began: Instant::now() };
    thread::Builder::new()
        .name("limits".into())
        .spawn(move || limits.watch())
        .or_fail(Kind::Io, || "cannot start a thread for the query's limits")?;
    session.answer(&args.query, args.format.into(), &mut std::io::stdout())?;
    Ok(())
}

/// What a query may take.
struct Limits {
    memory: Size,
    timeout: Timeout,
    began: Instant,
}

impl Limits {
    /// Looks on until the process ends; ends it when a limit is passed. Nothing gentler stops a
    /// thread that computes.
    fn watch(&self) {
        let mut memory = Resident::open();
        let before = memory.as_mut().and_then(Resident::bytes).unwrap_or(0);
        loop {
            thread::sleep(LOOK_EVERY);
            if self.timeout.0.is_some_and(|timeout| self.began.elapsed() > timeout) {
                give_up("it takes longer than it may: filter more, or give it more time with --timeout");
            }
            let now = memory.as_mut().and_then(Resident::bytes).unwrap_or(0);
            if now.saturating_sub(before) > self.memory.0 {
                give_up(
                    "it needs more memory than it may use: filter or group more, or give it more with --memory",
                );
            }
        }
    }
}

fn give_up(why: &str) -> ! {
    tell(&format!("error: {}", Error::new(Kind::Query, why)));
    std::process::exit(1)
}

/// What the kernel says of this process' memory, where there is a `/proc`. The file stays open: a
/// query may take all descriptors.
struct Resident(File);

impl Resident {
    fn open() -> Option<Self> {
        File::open("/proc/self/status").ok().map(Resident)
    }

    /// Bytes in memory and in swap.
    fn bytes(&mut self) -> Option<u64> {
        let mut text = String::new();
        self.0.rewind().ok()?;
        self.0.read_to_string(&mut text).ok()?;
        let kib = |name: &str| -> Option<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix("kB")?.trim().parse().ok()
        };
        Some((kib("VmRSS:")? + kib("VmSwap:").unwrap_or(0)) * 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_as_people_write_them() {
        let size = |text: &str| text.parse::<Size>().ok().map(|size| size.0);
        assert_eq!(["1GiB", "512 MiB", "2GB"].map(size), [Some(1 << 30), Some(1 << 29), Some(2_000_000_000)]);
        assert_eq!(["", "1", "-1GiB", "1KiB", "99999999999GiB", "GiB"].map(size), [None; 6]);
        let time = |text: &str| text.parse::<Timeout>().ok().map(|time| time.0);
        assert_eq!(time("none"), Some(None));
        assert_eq!(time("1m 30s"), Some(Some(Duration::from_secs(90))));
        assert_eq!(["", "0s", "-5m", "5"].map(time), [None; 4]);
    }

    #[test]
    fn the_memory_of_this_process_is_known() {
        let Some(mut memory) = Resident::open() else { return };
        assert!(memory.bytes().unwrap() > 1 << 20);
    }
}
