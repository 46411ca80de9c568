//! The rows of a columnar source: in the types that are wanted, and judged in the same order as
//! those of payloads.
//! It must not know where the rows come from.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, TimestampMicrosecondArray, new_null_array};
use arrow::datatypes::{DataType, Field};
use tickcast_stream::error::Result;
use tickcast_stream::message::Reason;

use super::Decoder;
use super::cell::Cell;
use super::cells::Reading;
use super::computed_time::{ReadTimes, first_time};
use super::convert::{Converted, Judged, convert, times_as};
use super::expand::Placed;
use super::layout::Layout;
use super::series;
use super::text_column::to_text;
use super::verdict::Verdicts;

impl Decoder {
    /// The columns in their types.
    pub(super) fn convert(&self, placed: Placed, verdicts: &mut Verdicts) -> Result<Converted> {
        let Placed { columns, rows, spread } = placed;
        let layout: &Layout = &self.layout;

        // The time as a data column waits for its turn: where it cannot be read, the reason is a
        // bad time.
        let mut data = Vec::with_capacity(self.spec.columns.len());
        for (at, (field, place)) in self.spec.columns.iter().zip(&layout.columns).enumerate() {
            let is_time = Some(*place) == layout.time;
            let may_be_blank = (!self.spec.needed.contains(field.name())).then_some(at);
            let judged = self.judged(field, Reason::Undecodable, may_be_blank);
            data.push(if is_time { None } else { Some(convert(&columns[*place], &judged, verdicts)?) });
        }

        let series = self.series_of(&columns, rows, verdicts)?;
        let from = &self.spec.time.from;
        let (times, first) = match (&self.spec.time_by, layout.time) {
            (Some(computation), _) => {
                let mut inputs = Vec::with_capacity(computation.inputs().len());
                for (field, place) in computation.inputs().zip(&layout.time_inputs) {
                    inputs.push(convert(
                        &columns[*place],
                        &self.judged(field, Reason::BadTime, None),
                        verdicts,
                    )?);
                }
                computation.times(inputs, rows, (from, &self.time_reader), verdicts)?
            }
            (None, Some(place)) => self.times_of(&columns[place], verdicts)?,
            (None, None) => self.times_of(&new_null_array(&DataType::Utf8, rows), verdicts)?,
        };

        // With an expression no column is the time.
        let data = match layout.time {
            Some(place) => self.with_time(data, &columns[place], &times, verdicts)?,
            None => data.into_iter().flatten().collect(),
        };
        Ok(Converted { data, series, times, first, spread, passed: Vec::new() })
    }

    fn judged<'a>(&'a self, field: &'a Field, reason: Reason, may_be_blank: Option<usize>) -> Judged<'a> {
        let reading = Reading { numbers: self.spec.csv.numbers, is_finite: may_be_blank.is_some() };
        let is_text = matches!(field.data_type(), DataType::Utf8 | DataType::Binary);
        let nulls = (!is_text || self.spec.nulls.hold_for_text()).then_some(&self.spec.nulls);
        Judged { field, reason, may_be_blank, reading, nulls }
    }

    fn series_of(&self, columns: &[ArrayRef], rows: usize, verdicts: &mut Verdicts) -> Result<StringArray> {
        let parts = self.layout.key.iter().map(|place| to_text(&columns[*place]));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let mut name = String::new();
        let names = (0..rows).map(|row| {
            let part = |at: usize| {
                let part: &StringArray = &parts[at];
                Cell::of_text(part.is_valid(row).then(|| part.value(row)))
            };
            series::name_of((row, &self.spec.key), part, &mut name, verdicts).map(str::to_owned)
        });
        Ok(names.collect())
    }

    /// The times of a column, and what the first of them was read from while none has been read.
    fn times_of(&self, written: &ArrayRef, verdicts: &mut Verdicts) -> Result<ReadTimes> {
        let written = match written.as_string_opt::<i32>() {
            Some(texts) => {
                let has_value = |text: &&str| !self.spec.nulls.has(text);
                Arc::new(texts.iter().map(|text| text.filter(has_value)).collect::<StringArray>())
            }
            None => Arc::clone(written),
        };
        let times = self.time_reader.convert(&written, &self.spec.time.from, verdicts)?;
        let first = if self.first_time.get().is_none() { first_time(&times, &written)? } else { None };
        Ok((times, first))
    }

    /// The data columns with the time among them, where it is one.
    fn with_time(
        &self,
        data: Vec<Option<ArrayRef>>,
        written: &ArrayRef,
        times: &TimestampMicrosecondArray,
        verdicts: &mut Verdicts,
    ) -> Result<Vec<ArrayRef>> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(data.len());
        for (field, array) in self.spec.columns.iter().zip(data) {
            columns.push(match (array, field.data_type()) {
                (Some(array), _) => array,
                (None, DataType::Timestamp(..)) => times_as(times, field)?,
                (None, _) => convert(written, &self.judged(field, Reason::BadTime, None), verdicts)?,
            });
        }

        Ok(columns)
    }
}
