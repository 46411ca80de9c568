//! Checks the `forecast` block: target and features among the selected columns, horizons, levels, experts.
//! It must not know how any of them is computed.

use super::Checker;
use crate::config::fault::{choice, quoted};
use crate::config::plan::{Calendar, Correction, Expert, ForecastPlan, Loss, MixtureRule, WindowPlan};
use crate::config::raw::RawForecast;

const HORIZONS_MAX: usize = 64;
const LEVELS_MAX: usize = 16;
const DAY_US: i64 = 86_400_000_000;
const WEEK_US: i64 = 7 * DAY_US;
/// Of five minutes.
const LONGEST_WEEK: u32 = 2016;

impl Checker<'_> {
    pub fn forecast(&mut self, raw: Option<RawForecast>, window: &WindowPlan) -> ForecastPlan {
        let is_given = raw.is_some();
        let raw = self.required(raw, "forecast", "write it like forecast: { target: temp }");
        let columns: Vec<&str> = window.select.iter().map(|(column, _)| column.as_str()).collect();
        let target = if is_given {
            self.required_text(raw.target, "forecast.target", "the column to forecast")
        } else {
            String::new()
        };
        if !target.is_empty() {
            self.selected("forecast.target", &target, &columns);
        }
        if let Some(calendar) = &raw.calendar {
            self.distinct("forecast.calendar", calendar);
        }
        let horizons = raw.horizons.map(|horizons| horizons.iter().map(|h| h.0 as u32).collect());
        let horizons = self.horizons(horizons);
        let levels = self.levels(raw.levels);
        let horizon_max = horizons.last().copied().unwrap_or(1);
        let direction = raw.direction.unwrap_or(false);
        let mut model = self.model(raw.model.unwrap_or_default(), horizon_max, &levels);
        if direction {
            model.loss = Loss::Directed { point: Box::new(model.loss) };
        }
        let season = raw.season.map(|season| season.0 as u32);
        let calendar = raw.calendar.unwrap_or_default();
        ForecastPlan {
            features: self.features(raw.features, &target, &columns),
            model,
            experts: self.experts(raw.experts, raw.season.is_some(), direction),
            mixture: raw.mixture.unwrap_or(MixtureRule::Boa),
            correction: raw.correction.unwrap_or(Correction::PTracker),
            direction,
            week: week(&calendar, window.size_us).filter(|&week| season != Some(week)),
            season,
            calendar,
            target,
            horizons,
            levels,
        }
    }

    fn selected(&mut self, path: &str, column: &str, columns: &[&str]) {
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

    fn features(&mut self, raw: Option<Vec<String>>, target: &str, columns: &[&str]) -> Vec<String> {
        let path = "forecast.features";
        let listed = raw.unwrap_or_else(|| columns.iter().map(|column| column.to_string()).collect());
        if self.places.positions.contains_key(path) {
            self.distinct(path, &listed);
            for (nth, feature) in listed.iter().enumerate() {
                let path = self.element(path, nth);
                self.selected(&path, feature, columns);
            }
        }
        let others = listed.into_iter().filter(|feature| feature != target);
        std::iter::once(target.to_string()).chain(others).collect()
    }

    fn horizons(&mut self, raw: Option<Vec<u32>>) -> Vec<u32> {
        let path = "forecast.horizons";
        let mut horizons = raw.unwrap_or_else(|| vec![1]);
        self.not_empty(path, &horizons);
        self.not_longer(path, &horizons, HORIZONS_MAX);
        self.distinct(path, &horizons);
        horizons.sort_unstable();
        horizons
    }

    fn levels(&mut self, raw: Option<Vec<f64>>) -> Vec<f64> {
        let path = "forecast.levels";
        let mut levels = raw.unwrap_or_else(|| vec![0.9]);
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

    fn experts(&mut self, raw: Option<Vec<Expert>>, has_season: bool, direction: bool) -> Vec<Expert> {
        let path = "forecast.experts";
        let Some(experts) = raw else { return Expert::ALL.to_vec() };
        self.not_empty(path, &experts);
        self.distinct(path, &experts);
        if let Some(nth) = experts.iter().position(|expert| *expert == Expert::SeasonalNaive && !has_season) {
            let path = self.element(path, nth);
            self.fault_with_help(&path, "seasonal_naive needs a season", "write forecast.season, in windows");
        }
        if direction && !experts.contains(&Expert::Rnn) {
            self.fault_with_help("forecast.direction", "it is the network's", "add rnn to forecast.experts");
        }
        experts
    }
}

/// Windows in a week, where the calendar has the day of the week and windows are shorter than a day: weekdays and weekends
/// then have days of their own. None for so many that a series could not remember them.
fn week(calendar: &[Calendar], size_us: i64) -> Option<u32> {
    let windows = u32::try_from(WEEK_US / size_us.max(1)).ok()?;
    let is_whole = size_us < DAY_US && WEEK_US % size_us.max(1) == 0;
    (calendar.contains(&Calendar::DayOfWeek) && is_whole && windows <= LONGEST_WEEK).then_some(windows)
}

/// The column suffix of a level, exact to its last digit: 0.9 -> `90`, 0.995 -> `99_5`, 0.05 -> `5`.
pub fn level_label(level: f64) -> String {
    let text = level.to_string();
    let digits = text.strip_prefix("0.").unwrap_or(&text);
    let (percent, rest) = digits.split_at(digits.len().min(2));
    let percent = format!("{percent:0<2}");
    let percent = if let Some(one) = percent.strip_prefix('0') { one } else { &percent };
    if rest.is_empty() { percent.to_string() } else { format!("{percent}_{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_labelled_in_percent() {
        let cases = [
            (0.5, "50"),
            (0.9, "90"),
            (0.995, "99_5"),
            (0.05, "5"),
            (0.29, "29"),
            (0.001, "0_1"),
            (0.9999, "99_99"),
        ];
        for (level, label) in cases {
            assert_eq!(level_label(level), label);
        }
    }

    #[test]
    fn the_week_is_a_season_where_its_days_are_asked_for_and_windows_divide_it() {
        let days = [Calendar::Hour, Calendar::DayOfWeek];
        let minutes = |minutes: i64| week(&days, minutes * 60_000_000);
        assert_eq!([60, 30, 5].map(minutes), [Some(168), Some(336), Some(2016)]);
        // A day or longer, no part of a week, too many to remember.
        assert_eq!([24 * 60, 48 * 60, 11, 1].map(minutes), [None; 4]);
        assert_eq!(week(&[Calendar::Hour], 3_600_000_000), None);
    }
}
