//! Rows from the texts of their fields: each is converted and judged as it is taken in.
//! It must not know the format that the texts were taken from.

use arrow::array::{StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field};
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::message::Reason;

use super::cells::{Cells, cells};
use super::computed_time::TimeComputation;
use super::convert::{Converted, misfit, times_as};
use super::series;
use super::spec::DecodeSpec;
use super::time::TimeReader;
use super::verdict::Verdicts;

/// The fields that are read of a record, each once, and which of them stand where.
#[derive(Debug)]
pub(super) struct Layout {
    /// Their names.
    pub(super) names: Vec<String>,
    /// The place of the series' name.
    key: usize,
    /// The place of the time, where a column has it.
    time: Option<usize>,
    /// The places of the columns that the time is computed from.
    time_inputs: Vec<usize>,
    /// The place of every data column.
    columns: Vec<usize>,
}

impl Layout {
    pub(super) fn new(spec: &DecodeSpec) -> Self {
        let mut names: Vec<String> = Vec::new();
        let mut place = |name: &String| {
            names.iter().position(|known| known == name).unwrap_or_else(|| {
                names.push(name.clone());
                names.len() - 1
            })
        };

        let key = place(&spec.key);
        let time = spec.time.from.column().map(|name| place(&name.to_owned()));
        let columns = spec.columns.iter().map(|field| place(field.name())).collect();
        let inputs = spec.time_by.iter().flat_map(TimeComputation::inputs);
        let time_inputs = inputs.map(|field| place(field.name())).collect();
        Layout { names, key, time, time_inputs, columns }
    }
}

/// Rows that are being collected.
pub(super) struct RowBuilder<'a> {
    spec: &'a DecodeSpec,
    layout: &'a Layout,
    reader: &'a TimeReader,
    series: StringBuilder,
    times: TimestampMicrosecondBuilder,
    /// The first time, and what it was read from.
    first: Option<(i64, String)>,
    data: Vec<DataColumn<'a>>,
    /// What the times are computed from, where they are.
    time_inputs: Vec<DataColumn<'a>>,
    rows: usize,
}

/// A data column that is being built.
struct DataColumn<'a> {
    field: &'a Field,
    place: usize,
    /// None for the row's time once more.
    cells: Option<Box<dyn Cells>>,
}

impl DataColumn<'_> {
    fn push(&mut self, row: usize, text: Option<&str>, reason: Reason, verdicts: &mut Verdicts) {
        let Some(cells) = &mut self.cells else { return };
        if !cells.push(text) {
            verdicts.reject(row, reason, || misfit(self.field, text.unwrap_or_default()));
        }
    }
}

impl<'a> RowBuilder<'a> {
    /// With room for so many rows.
    pub(super) fn new(
        spec: &'a DecodeSpec,
        layout: &'a Layout,
        reader: &'a TimeReader,
        rows: usize,
    ) -> Result<Self> {
        let column = |(field, place): (&'a Field, &usize)| {
            let cells = match field.data_type() {
                DataType::Timestamp(..) if Some(*place) == layout.time => None,
                wanted => Some(cells(wanted, rows).ok_or_else(|| {
                    Error::new(Kind::Source, format!("cannot read column `{}` as {wanted}", field.name()))
                })?),
            };
            Ok(DataColumn { field, place: *place, cells })
        };
        let inputs = spec.time_by.iter().flat_map(TimeComputation::inputs).zip(&layout.time_inputs);

        Ok(RowBuilder {
            spec,
            layout,
            reader,
            series: StringBuilder::with_capacity(rows, 8 * rows),
            times: TimestampMicrosecondBuilder::with_capacity(rows),
            first: None,
            data: spec.columns.iter().zip(&layout.columns).map(column).collect::<Result<_>>()?,
            time_inputs: inputs.map(column).collect::<Result<_>>()?,
            rows: 0,
        })
    }

    /// Takes in a row: `text` says what stands in the field of a place. Where the row is rejected
    /// already all may be null.
    pub(super) fn push<'t>(
        &mut self,
        row: usize,
        text: impl Fn(usize) -> Option<&'t str>,
        verdicts: &mut Verdicts,
    ) {
        let time_place = self.layout.time;
        self.rows += 1;
        for column in self.data.iter_mut().filter(|column| Some(column.place) != time_place) {
            column.push(row, text(column.place), Reason::Undecodable, verdicts);
        }

        let series = text(self.layout.key);
        series::judge(row, series, &self.spec.key, verdicts);
        self.series.append_option(series);

        let Some(time_place) = time_place else {
            for column in &mut self.time_inputs {
                column.push(row, text(column.place), Reason::BadTime, verdicts);
            }
            return;
        };
        let written = text(time_place);
        let time = written.and_then(|text| self.reader.read(text));
        if time.is_none() {
            self.reader.reject(row, written, &self.spec.time.from, verdicts);
        }
        if self.first.is_none() {
            self.first = time.map(|time| (time, written.unwrap_or_default().to_owned()));
        }
        self.times.append_option(time);

        // The time as a data column waited for its turn: where it cannot be read, the reason is a
        // bad time.
        for column in self.data.iter_mut().filter(|column| column.place == time_place) {
            column.push(row, written, Reason::BadTime, verdicts);
        }
    }

    /// All rows that were taken in.
    pub(super) fn finish(mut self, verdicts: &mut Verdicts) -> Result<Converted> {
        let (times, first) = match &self.spec.time_by {
            Some(computation) => {
                let inputs = self.time_inputs.into_iter().filter_map(|column| column.cells);
                let inputs = inputs.map(|mut cells| cells.finish()).collect::<Result<_>>()?;
                computation.times(inputs, self.rows, (&self.spec.time.from, self.reader), verdicts)?
            }
            None => (self.times.finish().with_timezone("UTC"), self.first),
        };
        let data = self.data.into_iter().map(|column| match column.cells {
            Some(mut cells) => cells.finish(),
            None => times_as(&times, column.field),
        });
        let data = data.collect::<Result<_>>()?;
        Ok(Converted { data, series: self.series.finish(), times, first })
    }
}
