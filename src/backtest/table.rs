//! What a backtest prints for a person: a row a horizon, a row a setting of a sweep.
//! It must not compute: it lays out what was measured.

use std::collections::BTreeSet;
use std::fmt::Write;

use indexmap::IndexMap;
use serde::Serialize;
use tickcast_forecast::Horizon;
use tickcast_stream::evaluate::text::{aligned, dash, number, percent, share};
use tickcast_stream::evaluate::{ExpertMeasures, HorizonMeasures};

use super::result::{Measured, SeriesMeasures, TargetMeasures};
use super::sweep::Setting;

/// Series that are printed one by one; more would be no table for a person.
const SERIES: usize = 12;

/// A run of a sweep, as `--json` prints it.
#[derive(Serialize)]
pub struct Trial {
    /// What was set.
    pub settings: Setting,
    /// What came of it.
    #[serde(rename = "result")]
    pub measured: Measured,
}

/// The tables of one backtest.
pub fn one(measured: &Measured) -> String {
    let mut text = aligned(&of_targets(measured, |of| horizon_rows(&of.horizons)));
    let direction = of_targets(measured, |of| direction_rows(&of.horizons).unwrap_or_default());
    if !direction.is_empty() {
        let _ = write!(text, "\n{}", aligned(&direction));
    }
    if measured.targets.iter().any(|of| (2..=SERIES).contains(&of.series.len())) {
        let _ = write!(text, "\n{}", aligned(&of_targets(measured, |of| series_rows(&of.series))));
    }
    let _ = write!(text, "\n{}", summary(measured));
    text
}

/// The tables of the targets as one: with several the target stands in front.
pub fn of_targets(
    measured: &Measured,
    rows_of: impl Fn(&TargetMeasures) -> Vec<Vec<String>>,
) -> Vec<Vec<String>> {
    if let [only] = &measured.targets[..] {
        return rows_of(only);
    }
    let mut all = Vec::new();
    for of in &measured.targets {
        for (nth, mut row) in rows_of(of).into_iter().enumerate() {
            // The first row of each has the titles.
            if nth > 0 || all.is_empty() {
                row.insert(0, if nth > 0 { of.target.clone() } else { "target".to_owned() });
                all.push(row);
            }
        }
    }
    all
}

/// How much was read and scored, on one line.
pub fn summary(measured: &Measured) -> String {
    let Measured { windows, records, elapsed_seconds: seconds, .. } = measured;
    let speed = if *seconds > 0.0 { *records as f64 / seconds } else { 0.0 };
    let [scored, skipped] = [measured.sum(|of| of.scored), measured.sum(|of| of.skipped)];
    let [forecasts, unscored, pending] =
        [measured.sum(|of| of.forecasts), measured.sum(|of| of.unscored), measured.sum(|of| of.pending)];

    let why = if scored > 0 {
        ""
    } else if *windows == 0 {
        "\nnothing is scored: no record was usable"
    } else if skipped > 0 {
        "\nnothing is scored: --skip passes over all there is"
    } else {
        "\nnothing is scored: no target was observed in two windows a horizon apart"
    };

    format!(
        "{windows} windows, {records} ticks in {seconds:.1} s: {speed:.0} ticks/s; {forecasts} forecasts: {scored} scored, \
         {skipped} skipped, {unscored} without a truth, {pending} pending{why}"
    )
}

/// Titles, then a row of cells a horizon.
pub fn horizon_rows(horizons: &[HorizonMeasures]) -> Vec<Vec<String>> {
    let Some(first) = horizons.first() else { return Vec::new() };
    let mut titles = ["horizon", "scored", "MAE", "naive MAE", "skill"].map(str::to_owned).to_vec();
    titles.extend(first.levels.iter().map(|level| format!("in {}%", percent(level.level))));
    titles.extend(first.levels.last().map(|level| format!("Winkler {}%", percent(level.level))));
    titles.extend(["best expert", "its skill"].map(str::to_owned));
    std::iter::once(titles).chain(horizons.iter().map(horizon_row)).collect()
}

fn horizon_row(of: &HorizonMeasures) -> Vec<String> {
    let mut cells = vec![of.horizon.to_string(), of.scored.to_string()];
    cells.extend([of.mae, of.naive_mae].map(number));
    cells.push(share(of.skill));
    cells.extend(of.levels.iter().map(|level| share(level.coverage)));
    cells.extend(of.levels.last().map(|level| number(level.winkler)));
    let best = best_expert(of);
    cells.push(best.map_or_else(dash, |expert| expert.name.clone()));
    cells.push(share(best.and_then(|expert| expert.skill)));
    cells
}

/// The single expert with the greatest skill.
fn best_expert(of: &HorizonMeasures) -> Option<&ExpertMeasures> {
    let skill = |expert: &&ExpertMeasures| expert.skill.unwrap_or(f64::NEG_INFINITY);
    of.experts.iter().max_by(|a, b| skill(a).total_cmp(&skill(b)))
}

/// The probability of a rise beside the base rate; none where none was forecast.
pub fn direction_rows(horizons: &[HorizonMeasures]) -> Option<Vec<Vec<String>>> {
    let titles = ["horizon", "ups", "log loss", "of base rate", "Brier", "of base rate"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];

    rows.extend(horizons.iter().filter_map(|of| {
        let direction = of.direction.as_ref()?;
        let [log_loss, base_log_loss, brier, base_brier] =
            [direction.log_loss, direction.base_log_loss, direction.brier, direction.base_brier]
                .map(|value| number(Some(value)));
        let ups = share(Some(direction.ups));
        Some(vec![of.horizon.to_string(), ups, log_loss, base_log_loss, brier, base_brier])
    }));
    (rows.len() > 1).then_some(rows)
}

/// As [`horizon_rows`], with the series in front.
pub fn series_rows(all: &[SeriesMeasures]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for series in all {
        for (index, mut row) in horizon_rows(&series.horizons).into_iter().enumerate() {
            if index > 0 || rows.is_empty() {
                row.insert(0, if index > 0 { series.series.clone() } else { "series".to_owned() });
                rows.push(row);
            }
        }
    }
    rows
}

/// The tables of a sweep: the settings, then MAE and skill a horizon; the best of a horizon is
/// marked.
pub fn sweep(trials: &[Trial]) -> String {
    format!("{}* the best of its horizon", aligned(&sweep_rows(trials)))
}

/// Titles, then a row of cells a setting.
pub fn sweep_rows(trials: &[Trial]) -> Vec<Vec<String>> {
    let Some(first) = trials.first() else { return Vec::new() };
    let columns = sweep_columns(trials);
    let are_several = columns.iter().any(|(target, _)| *target != columns[0].0);

    let mut titles: Vec<String> = first.settings.keys().cloned().collect();
    titles.extend(columns.iter().flat_map(|(target, horizon)| {
        let of = if are_several { format!("{target} ") } else { String::new() };
        [format!("{of}MAE {horizon}"), format!("{of}skill {horizon}")]
    }));
    let mut rows = vec![titles];

    for trial in trials {
        let mut row: Vec<String> = trial.settings.values().cloned().collect();
        for &column in &columns {
            let of = at(trial, column);
            let mae = of.and_then(|of| of.mae);
            let least = trials.iter().filter_map(|trial| at(trial, column)?.mae).min_by(f64::total_cmp);
            let mark = if mae.is_some() && mae == least { "*" } else { " " };
            row.push(format!("{}{mark}", number(mae)));
            row.push(share(of.and_then(|of| of.skill)));
        }
        rows.push(row);
    }
    rows
}

/// A target at a horizon.
type Column<'a> = (&'a str, Horizon);

/// What any of the trials has forecast: targets in the order in which they come, each with its
/// horizons in order.
fn sweep_columns(trials: &[Trial]) -> Vec<Column<'_>> {
    let mut columns: IndexMap<&str, BTreeSet<Horizon>> = IndexMap::new();
    for of in trials.iter().flat_map(|trial| &trial.measured.targets) {
        columns.entry(&of.target).or_default().extend(of.horizons.iter().map(|of| of.horizon));
    }
    let all = columns.into_iter();
    all.flat_map(|(target, of)| of.into_iter().map(move |horizon| (target, horizon))).collect()
}

/// The trial with the greatest mean skill over its targets and horizons; of equals the first.
pub fn best(trials: &[Trial]) -> Option<usize> {
    let mean = |trial: &Trial| {
        let horizons = trial.measured.targets.iter().flat_map(|of| &of.horizons);
        let skills: Vec<f64> = horizons.filter_map(|of| of.skill).collect();
        if skills.is_empty() { f64::NEG_INFINITY } else { skills.iter().sum::<f64>() / skills.len() as f64 }
    };
    let means = trials.iter().map(mean).enumerate();
    means.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(index, _)| index)
}

fn at<'a>(trial: &'a Trial, (target, horizon): Column<'_>) -> Option<&'a HorizonMeasures> {
    let of = trial.measured.targets.iter().find(|of| of.target == target)?;
    of.horizons.iter().find(|of| of.horizon == horizon)
}

#[cfg(test)]
mod tests {
    use tickcast_stream::evaluate::{DirectionMeasures, LevelMeasures};

    use super::*;

    fn horizon(horizon: Horizon, mae: f64) -> HorizonMeasures {
        let level = |level, winkler| LevelMeasures {
            level,
            scored: 10,
            coverage: Some(level),
            width: None,
            winkler,
            winkler_ratio: None,
            worst_coverage_250: None,
        };
        let expert = |name: &str, skill| ExpertMeasures { name: name.into(), scored: 10, mae: None, skill };
        HorizonMeasures {
            horizon,
            scored: 10,
            mae: Some(mae),
            rmse: None,
            mase: None,
            naive_mae: Some(2.0),
            skill: Some(1.0 - mae / 2.0),
            levels: vec![level(0.5, None), level(0.9, Some(7.25))],
            experts: vec![expert("naive", Some(0.0)), expert("rnn", Some(0.25)), expert("lame", None)],
            direction: None,
        }
    }

    fn trial(value: &str, maes: &[f64]) -> Trial {
        trial_of("temp", value, maes)
    }

    fn trial_of(target: &str, value: &str, maes: &[f64]) -> Trial {
        let horizons = maes.iter().zip([1, 24]).map(|(&mae, at)| horizon(Horizon(at), mae)).collect();
        let settings = Setting::from([("hidden".to_owned(), value.to_owned())]);
        let of = TargetMeasures { target: target.to_owned(), horizons, ..TargetMeasures::default() };
        Trial { settings, measured: Measured { targets: vec![of], ..Measured::default() } }
    }

    #[test]
    fn a_person_reads_a_row_a_horizon() {
        let expected = "\
horizon  scored    MAE  naive MAE  skill  in 50%  in 90%  Winkler 90%  best expert  its skill
      1      10  1.000      2.000  50.0%   50.0%   90.0%        7.250          rnn      25.0%
";
        assert_eq!(aligned(&horizon_rows(&[horizon(Horizon(1), 1.0)])), expected);
        assert!(direction_rows(&[horizon(Horizon(1), 1.0)]).is_none());
        let direction = DirectionMeasures {
            scored: 10,
            ups: 0.5,
            log_loss: 0.6,
            base_log_loss: 0.7,
            brier: 0.2,
            base_brier: 0.25,
        };
        let with = HorizonMeasures { direction: Some(direction), ..horizon(Horizon(1), 1.0) };
        assert_eq!(
            direction_rows(&[with]).unwrap()[1],
            ["1", "50.0%", "0.6000", "0.7000", "0.2000", "0.2500"]
        );
    }

    #[test]
    fn a_sweep_marks_the_best_of_each_horizon() {
        let trials = [trial("8", &[1.0, 1.5]), trial("16", &[0.5]), trial("32", &[1.25, 1.0])];
        let expected = "\
hidden   MAE 1  skill 1   MAE 24  skill 24
     8  1.000     50.0%   1.500      25.0%
    16  0.5000*   75.0%        -         -
    32  1.250     37.5%   1.000*     50.0%
* the best of its horizon";
        let text = sweep(&trials);
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&text), words(expected), "{text}");
        assert_eq!(best(&trials), Some(1));
        assert_eq!(best(&[]), None);
        assert_eq!(sweep_rows(&[]).len(), 0);
    }

    #[test]
    fn a_sweep_compares_a_target_with_itself_alone() {
        let mut both = trial_of("temp", "[temp, wind]", &[0.5]);
        both.measured.targets.extend(trial_of("wind", "", &[9.0, 1.0]).measured.targets);
        let rows = sweep_rows(&[trial_of("wind", "wind", &[1.5]), both]);
        let titles =
            ["wind MAE 1", "wind skill 1", "wind MAE 24", "wind skill 24", "temp MAE 1", "temp skill 1"];
        assert_eq!(rows[0][1..], titles);
        let marked = |row: &[String]| row[1..].iter().map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        assert_eq!(marked(&rows[1]), ["1.500*", "25.0%", "-", "-", "-", "-"]);
        assert_eq!(marked(&rows[2]), ["9.000", "-350.0%", "1.000*", "50.0%", "0.5000*", "75.0%"]);
    }

    #[test]
    fn several_targets_stand_in_front_of_their_rows() {
        let mut measured = trial_of("temp", "", &[1.0]).measured;
        let alone = of_targets(&measured, |of| horizon_rows(&of.horizons));
        assert_eq!(alone[0][0], "horizon");
        measured.targets.extend(trial_of("wind", "", &[1.5]).measured.targets);
        let rows = of_targets(&measured, |of| horizon_rows(&of.horizons));
        let heads: Vec<[&str; 2]> = rows.iter().map(|row| [&*row[0], &*row[1]]).collect();
        assert_eq!(heads, [["target", "horizon"], ["temp", "1"], ["wind", "1"]]);
        assert!(of_targets(&measured, |of| direction_rows(&of.horizons).unwrap_or_default()).is_empty());
    }
}
