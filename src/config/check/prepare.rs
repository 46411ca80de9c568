//! Checks `where` and `derive`: what is done with records before windows.
//! It must not know SQL: expressions are planned later.

use tickcast_sql::PrepareSpec;

use super::Checker;
use super::window::{COLUMNS_MAX, EXPRESSION_MAX, is_column_name};
use crate::config::fault::quoted;
use crate::config::scalar::Ordered;

impl Checker<'_> {
    /// `key` and `time` are read before anything is derived.
    pub fn prepare(
        &mut self,
        derive: Option<Ordered>,
        filter: Option<String>,
        (key, time): (&[String], Option<&str>),
    ) -> PrepareSpec {
        let derive = derive.map(|derive| derive.0).unwrap_or_default();
        if derive.len() > COLUMNS_MAX {
            self.fault("derive", format!("{} columns, at most {COLUMNS_MAX}", derive.len()));
        }
        for (column, sql) in &derive {
            let path = format!("derive.{column}");
            self.expression(&path, sql, "write it like (f - 32) / 1.8");
            if !is_column_name(column) {
                let help = "letters, digits and _, not a digit first, not __ first";
                self.fault_with_help(&path, format!("{} cannot be a column name", quoted(column)), help);
            }
            let is_key = key.contains(column);
            if is_key || Some(column.as_str()) == time {
                let of = if is_key { "key" } else { "time" };
                self.fault(&path, format!("{} is the {of}, which is read before this", quoted(column)));
            }
        }

        if let Some(sql) = &filter {
            self.expression("where", sql, "write it like \"quality = 'ok'\"");
        }
        PrepareSpec { derive, filter }
    }

    /// An expression that the planner will get.
    pub fn expression(&mut self, path: &str, sql: &str, help: &str) {
        if sql.len() > EXPRESSION_MAX {
            self.fault(path, format!("an expression of {} bytes, at most {EXPRESSION_MAX}", sql.len()));
        }
        if sql.trim().is_empty() {
            self.fault_with_help(path, "no expression", help);
        }
    }
}
