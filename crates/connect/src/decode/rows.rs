//! Rows from the values of their fields: each is converted and judged as it is taken in.
//! It must not know the format that the values were taken from.

use arrow::array::{StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field};
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::message::{RawRecord, Reason};
use tickcast_stream::{PartitionId, PassReason};

use super::cell::Cell;
use super::cells::{Cells, Reading, cells};
use super::computed_time::TimeComputation;
use super::convert::{Converted, misfit, times_as};
use super::layout::{Layout, Origin};
use super::series;
use super::shape::Tombstones;
use super::spec::DecodeSpec;
use super::spread::{Part, Spread};
use super::time::TimeReader;
use super::verdict::Verdicts;

/// Rows that are being collected.
pub(super) struct RowBuilder<'a> {
    spec: &'a DecodeSpec,
    layout: &'a Layout,
    reader: &'a TimeReader,
    partition: PartitionId,
    series: StringBuilder,
    /// The name that is being put together.
    name: String,
    times: TimestampMicrosecondBuilder,
    /// The first time, and what it was read from.
    first: Option<(i64, String)>,
    data: Vec<DataColumn<'a>>,
    /// What the times are computed from, where they are.
    time_inputs: Vec<DataColumn<'a>>,
    spread: Spread,
    rows: usize,
    /// The records that are no rows and no rejects, by their places.
    passed: Vec<(usize, PassReason)>,
}

/// A data column that is being built.
struct DataColumn<'a> {
    field: &'a Field,
    place: usize,
    /// Its place among the data columns, where it may be null instead of its row rejected.
    may_be_blank: Option<usize>,
    /// Its texts are compared with the words for no value.
    has_nulls: bool,
    /// None for the row's time once more.
    cells: Option<Box<dyn Cells>>,
}

impl DataColumn<'_> {
    fn push(&mut self, row: usize, cell: Cell<'_>, reason: Reason, verdicts: &mut Verdicts) {
        let Some(cells) = &mut self.cells else { return };
        if cells.push(cell) {
            return;
        }
        match self.may_be_blank {
            Some(column) => verdicts.blank(row, column, || misfit(self.field, cell)),
            None => verdicts.reject(row, reason, || misfit(self.field, cell)),
        }
    }
}

impl<'a> RowBuilder<'a> {
    /// With room for so many rows.
    pub(super) fn new(
        (spec, layout): (&'a DecodeSpec, &'a Layout),
        reader: &'a TimeReader,
        partition: PartitionId,
        rows: usize,
    ) -> Result<Self> {
        let column = |(field, place): (&'a Field, &usize), may_be_blank: Option<usize>| {
            let wanted = field.data_type();
            let reading = Reading { numbers: spec.csv.numbers, is_finite: may_be_blank.is_some() };
            let unreadable =
                || Error::new(Kind::Source, format!("cannot read column `{}` as {wanted}", field.name()));
            let cells = match wanted {
                DataType::Timestamp(..) if Some(*place) == layout.time => None,
                _ => Some(cells(wanted, rows, reading).ok_or_else(unreadable)?),
            };
            let is_text = matches!(wanted, DataType::Utf8 | DataType::Binary);
            let has_nulls = !is_text || spec.nulls.hold_for_text();
            Ok(DataColumn { field, place: *place, may_be_blank, has_nulls, cells })
        };
        let inputs = spec.time_by.iter().flat_map(TimeComputation::inputs).zip(&layout.time_inputs);
        let data = spec.columns.iter().zip(&layout.columns).enumerate().map(|(at, (field, place))| {
            let is_needed = spec.needed.contains(field.name()) || Some(*place) == layout.time;
            column((field, place), (!is_needed).then_some(at))
        });

        Ok(RowBuilder {
            spec,
            layout,
            reader,
            partition,
            series: StringBuilder::with_capacity(rows, 8 * rows),
            name: String::new(),
            times: TimestampMicrosecondBuilder::with_capacity(rows),
            first: None,
            data: data.collect::<Result<_>>()?,
            time_inputs: inputs.map(|input| column(input, None)).collect::<Result<_>>()?,
            spread: Spread::of(&spec.shape),
            rows: 0,
            passed: Vec::new(),
        })
    }

    /// Whether records without a value are passed over.
    pub(super) fn passes_tombstones(&self) -> bool {
        self.spec.shape.tombstones == Tombstones::PassOver
    }

    /// A record that is no row, and no fault either.
    pub(super) fn pass_over(&mut self, record: usize, reason: PassReason) {
        self.spread.skip(self.rows);
        self.passed.push((record, reason));
    }

    /// A record, or an element of its list, that is no row: it is rejected.
    pub(super) fn refuse(
        &mut self,
        (record, element): (usize, Option<usize>),
        (reason, detail): (Reason, String),
        verdicts: &mut Verdicts,
    ) {
        verdicts.add_row();
        verdicts.reject(self.rows, reason, || detail);
        self.spread.add(record, Part { element, melted: None });
        self.push(|_| Cell::Null, verdicts);
    }

    /// Takes in the rows of a record, or of an element of its list: `field` is the value of a
    /// field.
    pub(super) fn take<'t>(
        &mut self,
        (at, record): (usize, &'t RawRecord),
        element: Option<usize>,
        field: impl Fn(usize) -> Cell<'t>,
        verdicts: &mut Verdicts,
    ) {
        let (layout, partition) = (self.layout, self.partition);
        let value = |place: usize, melted: Option<usize>| match &layout.origins[place] {
            Origin::Field(at) => field(*at),
            Origin::Record(column) => column.of(record, partition),
            Origin::MeltedName => melted.map_or(Cell::Null, |at| Cell::Text(&layout.melted[at].0)),
            Origin::MeltedValue => melted.map_or(Cell::Null, |at| field(layout.melted[at].1)),
        };
        if layout.melted.is_empty() {
            verdicts.add_row();
            self.spread.add(at, Part { element, melted: None });
            return self.push(|place| value(place, None), verdicts);
        }

        for (nth, (_, of)) in layout.melted.iter().enumerate() {
            let is_there = match field(*of) {
                Cell::Null => false,
                Cell::Text(text) => !self.spec.nulls.has(text),
                _ => true,
            };
            if is_there {
                verdicts.add_row();
                self.spread.add(at, Part { element, melted: Some(nth) });
                self.push(|place| value(place, Some(nth)), verdicts);
            }
        }
    }

    /// Takes in a row that has its verdict already; `value` is what stands at a place.
    fn push<'t>(&mut self, value: impl Fn(usize) -> Cell<'t>, verdicts: &mut Verdicts) {
        let (row, time_place, nulls) = (self.rows, self.layout.time, &self.spec.nulls);
        let of_column = |column: &DataColumn<'_>| match value(column.place) {
            Cell::Text(text) if column.has_nulls && nulls.has(text) => Cell::Null,
            cell => cell,
        };
        self.rows += 1;
        for column in self.data.iter_mut().filter(|column| Some(column.place) != time_place) {
            column.push(row, of_column(column), Reason::Undecodable, verdicts);
        }

        let key = |at: usize| value(self.layout.key[at]);
        self.series.append_option(series::name_of((row, &self.spec.key), key, &mut self.name, verdicts));

        let Some(time_place) = time_place else {
            for column in &mut self.time_inputs {
                column.push(row, of_column(column), Reason::BadTime, verdicts);
            }
            return;
        };
        let written = match value(time_place) {
            Cell::Text(text) if nulls.has(text) => Cell::Null,
            cell => cell,
        };
        let time = self.reader.time_of(written);
        if time.is_none() {
            self.reader.reject(row, written, &self.spec.time.from, verdicts);
        }
        if self.first.is_none() {
            self.first = time.map(|time| (time, written.said().unwrap_or_default().into_owned()));
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

        let (series, spread, passed) = (self.series.finish(), self.spread, self.passed);
        Ok(Converted { data, series, times, first, spread, passed })
    }
}
