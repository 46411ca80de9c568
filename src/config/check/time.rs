//! Checks the `time` block: one way to read a time, in a format and a zone that exist.
//! It must not know how a time is read.

use jiff::tz::TimeZone;
use tickcast_connect::{TimeSpec, check_time_format, time_zone};

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

        let column = block.column.or_else(|| default.map(String::from));
        let column = self.required_text(column, path, "the column that holds a record's time");
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
            column,
            unit: block.unit,
            format: block.format,
            zone: block.zone,
            ambiguous: block.ambiguous.unwrap_or_default(),
        }
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
