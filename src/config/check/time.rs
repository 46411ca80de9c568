//! Checks the `time` block: one way to read a time, in a format and a zone that exist.
//! It must not know how a time is read.

use jiff::tz::TimeZone;
use tickcast_connect::{TimeFrom, TimeSpec, check_time_format, time_zone};

use super::Checker;
use crate::config::fault::quoted;
use crate::config::raw::{RawTime, RawTimeBlock, TextOr};

impl Checker<'_> {
    /// Where a record's time stands and how it is written; `default` is its column, if it has one.
    pub fn time(&mut self, raw: Option<RawTime>, default: Option<&str>) -> TimeSpec {
        let (block, path) = match raw {
            Some(TextOr::Block(block)) => (block, "time.column"),
            Some(TextOr::Text(column)) => {
                (RawTimeBlock { column: Some(column), ..RawTimeBlock::default() }, "time")
            }
            None => (RawTimeBlock::default(), "time"),
        };

        let from = self.time_from(block.column, block.expr, path, default);
        if block.unit.is_some() && block.format.is_some() {
            self.fault("time.unit", "only one of unit, format: a format says what digits mean");
        }
        if let Some(Err(why)) = block.format.as_deref().map(check_time_format) {
            let help = "write it as strftime has it, like %d.%m.%Y %H:%M";
            self.fault_with_help("time.format", format!("no time is read so: {why}"), help);
        }
        if let Some(zone) = &block.zone {
            _ = self.zone("time.zone", zone);
        }
        TimeSpec {
            from,
            unit: block.unit,
            format: block.format,
            zone: block.zone,
            ambiguous: block.ambiguous.unwrap_or_default(),
        }
    }

    /// One of a column and an expression.
    fn time_from(
        &mut self,
        column: Option<String>,
        expr: Option<String>,
        path: &str,
        default: Option<&str>,
    ) -> TimeFrom {
        let Some(sql) = expr else {
            let column = column.or_else(|| default.map(String::from));
            let column = self.required_text(column, path, "the column that holds a record's time");
            return TimeFrom::Column(column);
        };
        if column.is_some() {
            self.fault("time.expr", "only one of column, expr: an expression names its columns itself");
        }
        self.expression("time.expr", &sql, "write it like concat(date, ' ', hour, ':00')");
        TimeFrom::Expression(sql)
    }

    /// A time zone of the bundled data; says so where none has this name.
    pub fn zone(&mut self, path: &str, name: &str) -> Option<TimeZone> {
        let near = match time_zone(name) {
            Ok(zone) => return Some(zone),
            Err(near) => near,
        };
        let message = format!("no time zone {}", quoted(name));
        match near {
            Some(near) => self.fault(path, format!("{message}; did you mean \"{near}\"?")),
            None => self.fault_with_help(path, message, "write it like Europe/Berlin"),
        }
        None
    }
}
