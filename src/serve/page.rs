//! The page at `/`: what runs, whether it is ready, how good it is, where the rest is.
//! It must not need anything from elsewhere: no script, font or image; a browser without a network
//! shows it.

use tickcast_stream::telemetry::{Readiness, Scoreboard};

const STYLE: &str = "\
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}\
body{max-width:44rem;margin:3rem auto;padding:0 1rem}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
th,td{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #8884}\
.ready{color:#18794e}.waiting{color:#b45309}nav a{margin-right:1rem}";

/// The whole page.
pub fn page(pipeline: &str, status: &Readiness, notes: &[String], scores: &Scoreboard) -> String {
    let name = escaped(pipeline);
    let status = match status {
        Readiness::Ready => "<p class=ready>ready</p>".to_owned(),
        Readiness::Waiting(reason) => format!("<p class=waiting>not ready: {}</p>", escaped(reason)),
    };

    let notes: String =
        notes.iter().map(|note| format!("<p class=waiting>{}</p>\n", escaped(note))).collect();

    format!(
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8><title>{name} - tickcast</title>\
         <meta name=viewport content=\"width=device-width\"><meta http-equiv=refresh content=5>\
         <style>{STYLE}</style></head>\n<body><h1>{name}</h1>\n{status}\n{notes}{table}\n<nav>\
         <a href=/metrics>metrics</a><a href=/health>health</a><a href=/ready>ready</a></nav>\n\
         <p><small>tickcast {version}</small></p></body></html>\n",
        table = table(scores),
        version = env!("CARGO_PKG_VERSION"),
    )
}

fn table(scores: &Scoreboard) -> String {
    if scores.is_empty() {
        return "<p>No forecast has met its truth yet.</p>".to_owned();
    }

    let line = |tag: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = scores.rows().into_iter().map(|row| line("td", row)).collect();
    format!(
        "<h2>Scores since the start</h2>\n<table><thead>{}</thead><tbody>\n{rows}</tbody></table>\n\
         <p>Horizons are in windows. Skill is 1 - MAE / naive MAE.</p>",
        line("th", scores.titles())
    )
}

/// Text that cannot become markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tickcast_forecast::Horizon;
    use tickcast_stream::telemetry::{HorizonScore, TargetScores};

    use super::*;

    #[test]
    fn names_and_reasons_stay_text() {
        let page =
            page("<b>", &Readiness::Waiting("a & b".into()), &["7 < 8".to_owned()], &Scoreboard::default());
        assert!(page.contains("<h1>&lt;b&gt;</h1>"), "{page}");
        assert!(page.contains("not ready: a &amp; b") && page.contains("7 &lt; 8"), "{page}");
        assert!(page.contains("No forecast has met its truth yet."), "{page}");
    }

    #[test]
    fn scores_are_shown_and_nothing_is_fetched() {
        let mut score = HorizonScore::default();
        score.published.add(1.0);
        score.naive.add(2.0);
        let of = |target: &str| TargetScores {
            target: target.to_owned(),
            horizons: BTreeMap::from([(Horizon(6), score.clone())]),
        };
        let board = Scoreboard { targets: vec![of("temp")] };
        let page = page("weather", &Readiness::Ready, &[], &board);
        assert!(page.contains("<td>6</td><td>1</td><td>1.000</td><td>2.000</td><td>50.0%</td>"), "{page}");
        assert!(!page.contains("temp"), "{page}");
        let both = Scoreboard { targets: vec![of("temp"), of("wind")] };
        let both = super::page("weather", &Readiness::Ready, &[], &both);
        assert!(both.contains("<th>target</th>") && both.contains("<td>wind</td><td>6</td>"), "{both}");
        assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("src="), "{page}");
    }
}
