//! From the raw file to the plan: defaults, ranges, what belongs together, and what is not yet
//! built.
//! It must not know YAML. It goes on past every fault, so that all are found; a plan made past one
//! is thrown away.

mod deduplicate;
mod delivery;
mod envelope;
mod forecast;
mod ingest;
mod kafka;
mod model;
mod payload;
mod prepare;
mod records;
mod sink_setting;
mod sinks;
mod source;
mod time;
mod window;
mod window_grid;
mod window_kind;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tickcast_connect::{SeriesKey, TimeSpec};

use self::sink_setting::SinkSetting;
use super::fault::{Fault, Places, quoted};
use super::plan::{Plan, ServeSpec};
use super::raw::{OneOrMore, RawPipeline, RawServe, RawTime};
use super::tree::element_path;

const NAME_LEN_MAX: usize = 200;
const MINUTE_US: i64 = 60_000_000;

/// Makes the plan, adding the faults to `faults`, which holds those of the file's structure.
pub(super) fn check(raw: RawPipeline, places: &Places, base_dir: &Path, faults: &mut Vec<Fault>) -> Plan {
    let broken = faults.iter().map(|fault| fault.path.clone()).collect();
    Checker { places, base_dir, broken, faults }.pipeline(raw)
}

struct Checker<'a> {
    places: &'a Places,
    base_dir: &'a Path,
    /// Paths that have a fault already: they are absent from the raw file, but not missing.
    broken: BTreeSet<String>,
    faults: &'a mut Vec<Fault>,
}

impl Checker<'_> {
    fn fault(&mut self, path: &str, message: impl Into<String>) {
        self.faults.push(self.places.fault(path, message, None));
    }

    fn fault_with_help(&mut self, path: &str, message: impl Into<String>, help: &str) {
        self.faults.push(self.places.fault(path, message, Some(help.to_string())));
    }

    fn not_built(&mut self, is_asked: bool, path: &str, what: &str) {
        if is_asked {
            self.fault(path, format!("{what}: not yet built"));
        }
    }

    /// The value of a key that must be there and not be empty.
    fn required<T: Default>(&mut self, value: Option<T>, path: &str, help: &str) -> T {
        if value.is_none() && !self.broken.contains(path) {
            self.fault_with_help(path, "missing", help);
        }
        value.unwrap_or_default()
    }

    fn required_text(&mut self, value: Option<String>, path: &str, help: &str) -> String {
        self.required(value.filter(|text| !text.is_empty()), path, help)
    }

    /// Says so unless exactly one of these keys of `parent` is there.
    fn exactly_one(&mut self, parent: &str, keys: &[(&str, bool)]) {
        let path = |key: &str| format!("{parent}.{key}");
        let given: Vec<&str> = keys.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
        let all: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
        let all = all.join(", ");
        if given.is_empty() && !keys.iter().any(|(key, _)| self.broken.contains(&path(key))) {
            self.fault(parent, format!("needs one of {all}"));
        }
        for key in given.iter().skip(1) {
            self.fault(&path(key), format!("only one of {all}; {} is there already", given[0]));
        }
    }

    /// The path of the `nth` element that could be read: broken ones before it are not counted.
    fn element(&self, list: &str, nth: usize) -> String {
        let paths = (0..).map(|index| element_path(list, index));
        paths.filter(|path| !self.broken.contains(path)).nth(nth).unwrap_or_else(|| list.to_string())
    }

    /// Says so for every element that stands in the list twice.
    fn distinct<T: PartialEq>(&mut self, list: &str, elements: &[T]) {
        for nth in 1..elements.len() {
            if elements[..nth].contains(&elements[nth]) {
                let path = self.element(list, nth);
                self.fault(&path, "listed twice");
            }
        }
    }

    fn not_empty<T>(&mut self, list: &str, elements: &[T]) {
        if elements.is_empty() && !self.has_broken_below(list) {
            self.fault(list, "an empty list");
        }
    }

    fn not_longer<T>(&mut self, list: &str, elements: &[T], max: usize) {
        if elements.len() > max {
            self.fault(list, format!("{} entries, at most {max}", elements.len()));
        }
    }

    /// Whether a child of `path` has a fault of its own already.
    fn has_broken_below(&self, path: &str) -> bool {
        self.broken.iter().any(|broken| broken.starts_with(path))
    }

    /// Whether a fault is at `path`, below it or above it: what will be there is not known.
    fn is_faulty(&self, path: &str) -> bool {
        let is_within = |inner: &str, outer: &str| {
            inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('['))
        };
        self.faults.iter().any(|fault| is_within(&fault.path, path) || is_within(path, &fault.path))
    }

    fn file_path(&self, path: &str) -> PathBuf {
        self.base_dir.join(path)
    }

    fn pipeline(mut self, raw: RawPipeline) -> Plan {
        let name = self.name(raw.name);
        // A source that could not be read may have been a generator.
        let is_generated = raw.source.as_ref().is_some_and(|source| source.generate.is_some())
            || ["source", "source.generate"].iter().any(|path| self.broken.contains(*path));
        let future = raw.source.as_ref().and_then(|source| source.future);
        let (source, records, mut ingest) = self.source(raw.source, &name);
        let (key, time) = self.key_and_time(raw.key, raw.time, is_generated, &name);
        Self::ingest_key(&mut ingest, &records, key.columns());

        let prepare = self.prepare(raw.derive, raw.filter, (key.columns(), time.from.column()));
        let deduplicate = self.deduplicate(raw.deduplicate);
        let targets = raw.forecast.as_ref().and_then(|forecast| forecast.target.as_ref());
        let targets = targets.map(|targets| targets.all().to_vec()).unwrap_or_default();
        let idle = raw.window.as_ref().and_then(|window| window.idle.as_ref());
        let idle = idle.map(|idle| micros(idle.0));
        let mut window = self.window(raw.window, &targets);
        let mut targets = self.forecast(raw.forecast, &window);
        let limits = raw.limits.unwrap_or_default();
        self.not_built(limits.record_bytes.is_some(), "limits.record_bytes", "another limit than 900000");
        if let Some(series) = limits.series {
            window.most_series = series.0 as usize;
            targets.keep_series(window.most_series);
        }
        let levels = targets.shared().levels.clone();
        let setting = SinkSetting { pipeline: &name, registry: records.registry.as_ref(), levels: &levels };
        let sinks = self.sinks(raw.sinks, &source, setting);
        let (state, delivery) = self.state_and_delivery(raw.state, raw.delivery, &name, &source, &sinks);
        let serve = self.serve(raw.serve);
        self.ingest_address(ingest.as_ref(), &serve);
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);

        Plan {
            name,
            source,
            ingest,
            records,
            key,
            time,
            future_us: future.map_or(5 * MINUTE_US, |length| length.0),
            prepare,
            deduplicate,
            window,
            idle,
            targets,
            sinks,
            state,
            delivery,
            commit_every: micros(raw.commit_every.map_or(100_000, |length| length.0)),
            recover_within: micros(raw.recover_within.map_or(10_000_000, |length| length.0)),
            workers: raw.workers.map_or_else(cores, |workers| workers.0 as usize),
            serve,
        }
    }

    /// The columns of a record's series and time; a generator's have names of their own.
    fn key_and_time(
        &mut self,
        key: Option<OneOrMore>,
        time: Option<RawTime>,
        is_generated: bool,
        name: &str,
    ) -> (SeriesKey, TimeSpec) {
        let key = self.key(key, is_generated.then_some("series"), name);
        let time = self.time(time, is_generated.then_some("time"));
        if let Some(column) = time.from.column().filter(|column| !column.is_empty())
            && key.columns().iter().any(|name| name == column)
        {
            self.fault("time", format!("{} is the key already", quoted(column)));
        }

        (key, time)
    }

    /// The name becomes a consumer group, and a directory or a topic.
    fn name(&mut self, name: Option<String>) -> String {
        let stem = Path::new(&self.places.file).file_stem().unwrap_or_default().to_string_lossy();
        let name = name.unwrap_or_else(|| stem.into_owned());
        let is_word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let is_fit = !name.is_empty() && name.len() <= NAME_LEN_MAX && name.chars().all(is_word);
        if (!is_fit || name == "." || name == "..") && !self.broken.contains("name") {
            let help = "give a name of letters, digits, '.', '_' and '-'";
            self.fault_with_help("name", format!("{} cannot be a name", quoted(&name)), help);
            // One fault is enough: what is made of the name is none of its own.
            return "pipeline".to_string();
        }
        name
    }

    fn serve(&mut self, raw: Option<RawServe>) -> ServeSpec {
        let Some(raw) = raw else { return ServeSpec::default() };
        self.not_built(raw.postgres.is_some(), "serve.postgres", "the SQL server");
        let http = raw.http.and_then(|text| self.address(&text, "serve.http", "127.0.0.1:8088"));
        ServeSpec { http }
    }
}

fn micros(us: i64) -> Duration {
    Duration::from_micros(us.unsigned_abs())
}
