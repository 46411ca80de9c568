//! Checks the `window` block: one kind of window, and the columns it selects.
//! It must not know SQL: expressions are planned later.

use tickcast_forecast::{ForecastSpec, WindowGrid};
use tickcast_sql::{Gaps, WindowKind, WindowSpec};

use super::Checker;
use crate::config::fault::quoted;
use crate::config::raw::{RawGaps, RawGapsWord, RawWindow, TextOr};

pub(super) const COLUMNS_MAX: usize = 256;
/// Bytes of an expression: the SQL planner's recursion is as deep as an expression is nested.
pub(super) const EXPRESSION_MAX: usize = 4096;
/// Windows that wait for late records at the same time.
const OPEN_WINDOWS_MAX: i64 = 10_000;

impl Checker<'_> {
    /// The windows; without `select` they have the average of each target.
    pub fn window(&mut self, raw: Option<RawWindow>, targets: &[String]) -> WindowSpec {
        let is_given = raw.is_some();
        let raw = self.required(raw, "window", "write it like window: { tumbling: 1h }");
        if is_given {
            self.one_kind_of_window(&raw);
        }

        let kind = self.kind(&raw);
        let select = match raw.select {
            Some(select) => select.0,
            None => averages(targets),
        };
        self.select(&select, targets);

        let lateness_us = raw.lateness.map_or(0, |lateness| lateness.0);
        if let WindowKind::Grid(grid) = &kind {
            self.few_are_open(grid, lateness_us);
        }
        let gaps = raw.gaps.map_or(Gaps::Auto, |gaps| self.gaps(gaps, &select));
        let most_series = ForecastSpec::MOST_SERIES;
        let stamps = raw.stamps.unwrap_or_default();
        let watermark = raw.watermark.unwrap_or_default();
        WindowSpec { kind, lateness_us, stamps, watermark, gaps, select, most_series }
    }

    fn few_are_open(&mut self, grid: &WindowGrid, lateness_us: i64) {
        let open = lateness_us / grid.pane_us();
        if open >= OPEN_WINDOWS_MAX {
            let what = if grid.span() > 1 { "panes of windows" } else { "windows" };
            self.fault("window.lateness", format!("keeps {open} {what} open, at most {OPEN_WINDOWS_MAX}"));
        }
    }

    fn gaps(&mut self, raw: RawGaps, select: &[(String, String)]) -> Gaps {
        match raw {
            TextOr::Text(RawGapsWord::Auto) => Gaps::Auto,
            TextOr::Text(RawGapsWord::Carry) => Gaps::Carry,
            TextOr::Text(RawGapsWord::Skip) => Gaps::Skip,
            TextOr::Text(RawGapsWord::Zero) => Gaps::Zero,
            TextOr::Block(fills) => {
                let known: Vec<&str> = select.iter().map(|(column, _)| column.as_str()).collect();
                fills
                    .keys()
                    .for_each(|column| self.selected(&format!("window.gaps.{column}"), column, &known));
                Gaps::Columns(fills)
            }
        }
    }

    fn one_kind_of_window(&mut self, raw: &RawWindow) {
        let kinds = [
            ("tumbling", raw.tumbling.is_some()),
            ("hopping", raw.hopping.is_some()),
            ("session", raw.session.is_some()),
            ("count", raw.count.is_some()),
        ];
        self.exactly_one("window", &kinds);
    }

    /// Column names go into SQL, Parquet and JSON; `__` is kept for columns of our own.
    fn select(&mut self, select: &[(String, String)], targets: &[String]) {
        let is_in_file = self.places.positions.contains_key("window.select");
        if select.is_empty() && is_in_file && !self.has_broken_below("window.select") {
            self.fault_with_help("window.select", "no columns", "write it like { temp: avg(temp) }");
        }

        if select.len() > COLUMNS_MAX {
            self.fault("window.select", format!("{} columns, at most {COLUMNS_MAX}", select.len()));
        }

        for (column, expression) in select {
            // A default column stands where its target does.
            let path = match targets.iter().position(|target| target == column) {
                Some(nth) if !is_in_file => self.target_path(nth),
                _ => format!("window.select.{column}"),
            };
            // Where it stands alone it is named as the record's column is.
            let is_fit = if is_in_file { is_column_name(column) } else { is_field_name(column) };
            if !is_fit {
                let help = "letters, digits and _, not a digit first, not __ first";
                self.fault_with_help(&path, format!("{} cannot be a column name", quoted(column)), help);
            }

            self.expression(&path, expression, "write it like avg(temp)");
        }
    }
}

/// The average of each column, under its own name.
fn averages(columns: &[String]) -> Vec<(String, String)> {
    let mut select: Vec<(String, String)> = Vec::new();
    for column in columns {
        if !select.iter().any(|(known, _)| known == column) {
            select.push((column.clone(), format!("avg(\"{}\")", column.replace('"', "\"\""))));
        }
    }
    select
}

/// Whether a text may be the name of a record's field: anything but one that was meant as an
/// expression, `max(wind)`, or is one of our own.
fn is_field_name(name: &str) -> bool {
    let call = name.strip_suffix(')').and_then(|call| call.split_once('('));
    let is_call = call.is_some_and(|(function, _)| is_column_name(function));
    !name.starts_with("__") && !is_call
}

pub(super) fn is_column_name(name: &str) -> bool {
    !name.starts_with("__")
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
