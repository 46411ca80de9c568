//! `--report`: one page that needs nothing from elsewhere: tables, charts and plotly's script.
//! It must not compute measures: it draws what a backtest kept.

mod charts;

use serde_json::{Value, json};
use tickcast_forecast::Horizon;
use tickcast_stream::evaluate::text::{number, percent, share};
use tickcast_stream::evaluate::{HorizonMeasures, Pair};

use self::charts::Chart;
use super::chart_data::WORST;
use super::table::{self, Trial};
use super::{Backtest, Measured, TargetMeasures};

const STYLE: &str = include_str!("report/page.css");
const SCRIPT: &str = include_str!("report/page.js");

/// Series in the page's table; more are in the JSON.
const SERIES: usize = 100;

/// The whole page: the comparison of a sweep, if it is one, then the details of the best of its
/// trials.
pub fn page(backtest: &Backtest, trials: &[Trial], best: usize) -> String {
    let measured = &backtest.measured;
    let name = escaped(&measured.pipeline);
    let mut body = format!("<h1>{name}: backtest</h1>\n<p>{}</p>\n", escaped(&table::summary(measured)));
    body += &comparison(trials, best);
    body += &summaries(measured);
    let charts = charts::all(backtest);
    for chart in &charts {
        body += &section(chart.title, &chart.about, &canvas(chart));
    }
    body += &moments(backtest);

    let figures: Value = charts.iter().map(|chart| (chart.id.to_owned(), json!(chart.views))).collect();
    // Within a script only `<` could end it; in JSON it stands in strings alone.
    let figures = figures.to_string().replace('<', "\\u003c");
    format!(
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8><title>{name}: backtest - tickcast</title>\
         <meta name=viewport content=\"width=device-width, initial-scale=1\"><style>{STYLE}</style>\n{plotly}</head>\n\
         <body>{body}<p><small>tickcast {version}</small></p>\n<script>const charts = {figures};\n{SCRIPT}</script></body></html>\n",
        plotly = plotly_script(),
        version = env!("CARGO_PKG_VERSION"),
    )
}

/// The table of a sweep; nothing, when it is none.
fn comparison(trials: &[Trial], best: usize) -> String {
    let [trial, _, ..] = trials else { return String::new() };
    let keys: Vec<&str> = trial.settings.keys().map(String::as_str).collect();
    let settings = trials[best].settings.iter().map(|(key, value)| format!("{key}={value}"));
    let settings: Vec<String> = settings.collect();
    let table = section(
        &format!("Comparison by {}", keys.join(", ")),
        "* is the best of its horizon. What follows is of the setting with the greatest mean skill.",
        &html_table(&table::sweep_rows(trials)),
    );
    format!("{table}<p>Details of <b>{}</b></p>\n", escaped(&settings.join(", ")))
}

/// Plotly alone: the crate's sources bring MathJax behind it, 2 MB that no chart here uses. The
/// icons of its maps are not used either; without their address nothing in the page can ask for
/// them.
fn plotly_script() -> String {
    const END: &str = "</script>";
    let mut sources = plotly::Plot::offline_js_sources();
    if let Some(end) = sources.find(END) {
        sources.truncate(end + END.len());
    }
    sources.replace("src=\"https://unpkg.com", "src=\"data:,")
}

fn summaries(measured: &Measured) -> String {
    let unit = unit(measured);
    let mut text = section(
        "Scores",
        &format!(
            "Horizons are in windows; errors and Winkler scores in units of {unit}. Skill is 1 - MAE / naive MAE, naive \
             being the last value. \u{201c}in 90%\u{201d} is how often the truth lay in the 90 % interval."
        ),
        &html_table(&table::of_targets(measured, |of| table::horizon_rows(&of.horizons))),
    );

    text += &section(
        "Intervals",
        &format!(
            "Width and Winkler score in units of {unit}; the Winkler score is the width and 2/(1 - level) times the distance \
             by which the truth lies outside; less is better. The worst coverage is over any 250 consecutive windows."
        ),
        &html_table(&table::of_targets(measured, |of| level_rows(&of.horizons))),
    );

    let rows = table::of_targets(measured, |of| table::direction_rows(&of.horizons).unwrap_or_default());
    if !rows.is_empty() {
        let about = "The probability of a rise above the last value, beside the share of rises so far; less is better.";
        text += &section("Direction", about, &html_table(&rows));
    }
    text + &series(measured)
}

/// What errors are measured in.
fn unit(measured: &Measured) -> &str {
    match &measured.targets[..] {
        [only] => &only.target,
        _ => "the target",
    }
}

/// The table of the series; nothing for a single one.
fn series(measured: &Measured) -> String {
    let all = measured.targets.iter().map(|of| of.series.len()).max().unwrap_or_default();
    if all <= 1 {
        return String::new();
    }

    let shown = |of: &TargetMeasures| table::series_rows(&of.series[..of.series.len().min(SERIES)]);
    let about = if all > SERIES { format!("The first {SERIES} of {all}.") } else { String::new() };
    let rows = html_table(&table::of_targets(measured, shown));
    let open = if all <= 12 { " open" } else { "" };
    format!("<details{open}><summary>Series</summary>\n<p>{about}</p>{rows}</details>\n")
}

fn level_rows(horizons: &[HorizonMeasures]) -> Vec<Vec<String>> {
    let titles = ["horizon", "level", "coverage", "worst", "width", "Winkler", "per naive MAE"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for of in horizons {
        rows.extend(of.levels.iter().map(|level| {
            vec![
                of.horizon.to_string(),
                format!("{}%", percent(level.level)),
                share(level.coverage),
                share(level.worst_coverage_250),
                number(level.width),
                number(level.winkler),
                number(level.winkler_ratio),
            ]
        }));
    }
    rows
}

/// A large error of some series.
struct Moment<'a> {
    /// In units of the naive MAE of its series and horizon.
    scaled: f64,
    target: &'a str,
    series: &'a str,
    horizon: Horizon,
    pair: &'a Pair,
}

/// The largest errors of all targets, series and horizons, the largest first.
fn worst_moments(backtest: &Backtest) -> Vec<Moment<'_>> {
    let of_targets = backtest.targets().flat_map(|judged| {
        let series = judged.evals.values().flat_map(|eval| &eval.series);
        series.map(move |(name, series)| (judged.measured, name, series))
    });

    let mut worst = Vec::new();
    for (measured, name, series) in of_targets {
        for (eval, of) in series.horizons.iter().zip(&measured.horizons) {
            let Some(scale) = eval.errors.naive_mae().filter(|&scale| scale > 0.0) else { continue };
            worst.extend(eval.top_errors.0.iter().map(|pair| Moment {
                scaled: pair.error().abs() / scale,
                target: &measured.target,
                series: name,
                horizon: of.horizon,
                pair,
            }));
        }
    }

    worst.sort_by(|a, b| b.scaled.total_cmp(&a.scaled));
    worst.truncate(WORST);
    worst
}

/// The largest errors, in units of the naive MAE of their series and horizon.
fn moments(backtest: &Backtest) -> String {
    let measured = &backtest.measured;
    let horizons = measured.targets.first().map_or(&[][..], |of| &of.horizons);
    let levels = horizons.first().map_or(&[][..], |of| &of.levels);
    let are_several = measured.targets.len() > 1;
    let mut titles: Vec<String> = are_several.then(|| "target".to_owned()).into_iter().collect();
    titles.extend(["series", "issued at", "horizon", "forecast", "actual"].map(str::to_owned));
    titles.extend(levels.last().map(|level| format!("{}% interval", percent(level.level))));
    titles.push("error / naive MAE".to_owned());
    let mut rows = vec![titles];

    for Moment { scaled, target, series, horizon, pair } in worst_moments(backtest) {
        let mut row: Vec<String> = are_several.then(|| target.to_owned()).into_iter().collect();
        row.extend([series.to_owned(), charts::time(pair.issued_at), horizon.to_string()]);
        row.extend([pair.forecast, pair.actual].map(|value| number(Some(value))));
        if !levels.is_empty() {
            let interval = pair.intervals.last();
            let [from, to] =
                [interval.map(|interval| interval.lower), interval.map(|interval| interval.upper)]
                    .map(number);
            row.push(format!("{from} to {to}"));
        }
        row.push(number(Some(scaled)));
        rows.push(row);
    }

    let about = format!(
        "The {WORST} largest errors in units of the naive MAE of their series and horizon; values in units of {}.",
        unit(measured)
    );
    section("The worst moments", &about, &html_table(&rows))
}

fn section(title: &str, about: &str, content: &str) -> String {
    format!(
        "<section><h2>{}</h2>\n<p class=about>{}</p>\n{content}</section>\n",
        escaped(title),
        escaped(about)
    )
}

/// The place of a chart, with a choice of its views where there are several.
fn canvas(chart: &Chart) -> String {
    let id = chart.id;
    let mut text = String::new();
    if chart.views.len() > 1 {
        let option = |(index, view): (usize, &charts::View)| {
            format!("<option value={index}>{}</option>", escaped(&view.name))
        };
        let options: String = chart.views.iter().enumerate().map(option).collect();
        text += &format!("<label>Show <select data-chart={id}>{options}</select></label>\n");
    }
    text + &format!("<div class=chart id={id}></div>\n")
}

/// The first row holds the titles.
fn html_table(rows: &[Vec<String>]) -> String {
    let line = |tag: &str, cells: &[String]| {
        let cells: String =
            cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell.trim()))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let Some((titles, rows)) = rows.split_first() else { return String::new() };
    let rows: String = rows.iter().map(|row| line("td", row)).collect();
    format!(
        "<div class=table><table><thead>{}</thead><tbody>\n{rows}</tbody></table></div>\n",
        line("th", titles)
    )
}

/// Text that cannot become markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
