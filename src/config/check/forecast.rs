//! Checks the `forecast` block: targets and features among the selected columns, horizons, levels,
//! experts.
//! It must not know how any of them is computed.

use tickcast_forecast::{
    Bounds, Calendar, ExpertKind, ForecastSpec, Horizon, level_label, usual_seasons, week_of,
};
use tickcast_model::Loss;
use tickcast_sql::{WindowKind, WindowSpec};
use tickcast_stream::forecast::Targets;

use super::Checker;
use crate::config::fault::{choice, quoted};
use crate::config::raw::{OneOrMore, OrNone, RawBounds, RawForecast};
use crate::config::scalar::Whole;

const HORIZONS_MAX: usize = 64;
const LEVELS_MAX: usize = 16;

impl Checker<'_> {
    /// What is forecast from rows of these windows.
    pub fn forecast(&mut self, raw: Option<RawForecast>, window: &WindowSpec) -> Targets {
        let is_given = raw.is_some();
        let raw = self.required(raw, "forecast", "write it like forecast: { target: temp }");
        let columns: Vec<&str> = window.select.iter().map(|(column, _)| column.as_str()).collect();
        let targets = if is_given { self.targets(raw.target, &columns) } else { Vec::new() };
        let seen = self.features(raw.features, &columns);

        let default = ForecastSpec::new("");
        if let Some(calendar) = &raw.calendar {
            self.distinct("forecast.calendar", calendar);
        }
        let horizons = raw.horizons.map(|horizons| horizons.iter().map(|h| Horizon(h.0 as u32)).collect());
        let horizons = self.horizons(horizons.unwrap_or(default.horizons));
        let levels = self.levels(raw.levels.unwrap_or(default.levels));
        let horizon_max = horizons.last().copied().unwrap_or(Horizon(1));
        let direction = raw.direction.unwrap_or(default.direction);
        let mut model = self.model(raw.model.unwrap_or_default(), horizon_max, &levels);
        if direction {
            model.loss = Loss::Directed { point: Box::new(model.loss) };
        }

        let (season, week) = match &window.kind {
            WindowKind::Grid(grid) => seasons(raw.season, raw.calendar.as_deref(), grid.step_us()),
            _ => self.no_season(raw.season),
        };
        let no_season = season.is_none().then_some(match &window.kind {
            WindowKind::Grid(_) => "write forecast.season, in windows",
            _ => "leave it out",
        });
        let shared = ForecastSpec {
            features: Vec::new(),
            model,
            experts: self.experts(raw.experts, no_season, direction),
            mixture: raw.mixture.unwrap_or(default.mixture),
            correction: raw.correction.unwrap_or(default.correction),
            bounds: self.bounds(raw.bounds),
            direction,
            season,
            week,
            calendar: raw.calendar.unwrap_or_default(),
            target: String::new(),
            horizons,
            levels,
            most_series: default.most_series,
        };
        targets_of(targets, &shared, &seen)
    }

    fn no_season(&mut self, raw: Option<OrNone<Whole<2, 1_000_000>>>) -> (Option<u32>, Option<u32>) {
        if let Some(OrNone(Some(_))) = raw {
            let message =
                "has no meaning with session and count: nobody knows how many of their windows a season has";
            self.fault_with_help("forecast.season", message, "leave it out");
        }
        (None, None)
    }

    fn bounds(&mut self, raw: Option<OrNone<RawBounds>>) -> Bounds {
        let Some(OrNone(raw)) = raw else { return Bounds::default() };
        let RawBounds { min, max } = raw.unwrap_or_default();
        if let (Some(min), Some(max)) = (min, max)
            && min >= max
        {
            let message = format!("min {min} is not below max {max}");
            self.fault_with_help("forecast.bounds", message, "write it like { min: 0, max: 100 }");
        }
        Bounds { min, max, learned: raw.is_some() }
    }

    fn targets(&mut self, raw: Option<OneOrMore>, columns: &[&str]) -> Vec<String> {
        let path = "forecast.target";
        let listed = match raw {
            Some(OneOrMore::More(listed)) => listed,
            raw => {
                let one = raw.and_then(|raw| raw.all().first().cloned());
                let target = self.required_text(one, path, "the column to forecast");
                if !target.is_empty() {
                    self.selected(path, &target, columns);
                }
                return vec![target];
            }
        };

        self.not_empty(path, &listed);
        self.distinct(path, &listed);
        for (nth, target) in listed.iter().enumerate() {
            let path = self.element(path, nth);
            self.selected(&path, target, columns);
        }
        listed
    }

    /// Where the `nth` target stands in the file.
    pub(super) fn target_path(&self, nth: usize) -> String {
        let (path, element) = ("forecast.target", self.element("forecast.target", nth));
        if self.places.positions.contains_key(&element) { element } else { path.to_owned() }
    }

    /// Says so where a column is not among those that are selected.
    pub(super) fn selected(&mut self, path: &str, column: &str, columns: &[&str]) {
        // Without a select that could be read there is nothing to compare with.
        if !columns.contains(&column)
            && !self.broken.contains(&format!("window.select.{column}"))
            && !self.broken.contains("window.select")
            && !self.broken.contains("window")
        {
            let (near, help) = choice(column, columns);
            let message = format!("{} is not in window.select{near}", quoted(column));
            self.faults.push(self.places.fault(path, message, help));
        }
    }

    /// The columns that experts may see, in the order of the file.
    fn features(&mut self, raw: Option<Vec<String>>, columns: &[&str]) -> Vec<String> {
        let path = "forecast.features";
        let listed = raw.unwrap_or_else(|| columns.iter().map(|column| column.to_string()).collect());
        if self.places.positions.contains_key(path) {
            self.distinct(path, &listed);
            for (nth, feature) in listed.iter().enumerate() {
                let path = self.element(path, nth);
                self.selected(&path, feature, columns);
            }
        }
        listed
    }

    fn horizons(&mut self, mut horizons: Vec<Horizon>) -> Vec<Horizon> {
        let path = "forecast.horizons";
        self.not_empty(path, &horizons);
        self.not_longer(path, &horizons, HORIZONS_MAX);
        self.distinct(path, &horizons);
        horizons.sort_unstable();
        horizons
    }

    fn levels(&mut self, mut levels: Vec<f64>) -> Vec<f64> {
        let path = "forecast.levels";
        self.not_empty(path, &levels);
        self.not_longer(path, &levels, LEVELS_MAX);
        for (nth, level) in levels.iter().enumerate() {
            if !(*level > 0.0 && *level < 1.0) {
                let path = self.element(path, nth);
                self.fault_with_help(&path, format!("{level} is not between 0 and 1"), "write it like 0.9");
            }
        }
        let labels: Vec<String> = levels.iter().map(|level| level_label(*level)).collect();
        self.distinct(path, &labels);
        levels.sort_by(f64::total_cmp);
        levels
    }

    /// `no_season`: there is none, and what to do about that.
    fn experts(
        &mut self,
        raw: Option<Vec<ExpertKind>>,
        no_season: Option<&str>,
        direction: bool,
    ) -> Vec<ExpertKind> {
        let path = "forecast.experts";

        let Some(experts) = raw else { return ExpertKind::ALL.to_vec() };
        self.not_empty(path, &experts);
        self.distinct(path, &experts);

        if let Some(help) = no_season
            && let Some(nth) = experts.iter().position(|expert| *expert == ExpertKind::SeasonalNaive)
        {
            let path = self.element(path, nth);
            self.fault_with_help(&path, "seasonal_naive needs a season", help);
        }

        if direction && !experts.contains(&ExpertKind::Rnn) {
            self.fault_with_help("forecast.direction", "it is the network's", "add rnn to forecast.experts");
        }
        experts
    }
}

/// A spec a target; its experts see it first, then the other columns that they may see.
fn targets_of(targets: Vec<String>, shared: &ForecastSpec, seen: &[String]) -> Targets {
    let mut specs = targets.into_iter().map(|target| {
        let others = seen.iter().filter(|feature| **feature != target).cloned();
        let features = std::iter::once(target.clone()).chain(others).collect();
        ForecastSpec { target, features, ..shared.clone() }
    });
    // Without a target there is a fault, and no plan.
    let first = specs.next().unwrap_or_else(|| shared.clone());
    Targets::new(first, specs.collect())
}

/// The season and the week beside it, in windows. Who says neither gets what is usual; who says
/// only the calendar gets no week that is not in it.
fn seasons(
    raw: Option<OrNone<Whole<2, 1_000_000>>>,
    calendar: Option<&[Calendar]>,
    size_us: i64,
) -> (Option<u32>, Option<u32>) {
    let asked_week = week_of(calendar.unwrap_or_default(), size_us);
    match raw {
        None => {
            let (season, week) = usual_seasons(size_us);
            (season, if calendar.is_some() { asked_week } else { week })
        }
        Some(OrNone(season)) => {
            let season = season.map(|season| season.0 as u32);
            (season, asked_week.filter(|&week| season != Some(week)))
        }
    }
}
