//! A chart of the page: its heading, and one or several figures of the same kind.
//! It must not know what the figures show.

use plotly::Plot;
use serde::Serialize;
use serde_json::{Value, json};

/// A chart with its heading.
pub struct Chart {
    /// Of its element in the page.
    pub id: &'static str,
    /// The heading.
    pub title: &'static str,
    /// What it shows, for a person.
    pub about: String,
    /// Its figures.
    pub views: Vec<View>,
}

/// One figure.
#[derive(Serialize)]
pub struct View {
    /// What a person chooses it by.
    pub name: String,
    /// As plotly reads it.
    pub figure: Value,
}

/// The only figure of a chart; none, when it has nothing to show.
pub fn one_view(plot: &Plot, has_any: bool) -> Vec<View> {
    if has_any { vec![View { name: String::new(), figure: json!(plot) }] } else { Vec::new() }
}
