//! The rows of a columnar source, a row an element of their lists or a column that is melted.
//! It must not know what the columns mean.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, UInt32Array, new_null_array};
use arrow::compute::{cast, interleave, take};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::Reason;
use tickcast_stream::{Offset, PartitionId};

use super::layout::{Layout, Origin};
use super::nested_columns::{find, find_within};
use super::record_column::RecordColumn;
use super::shape::Shape;
use super::spread::{Part, Spread};
use super::verdict::Verdicts;

/// The columns of rows, one a place, and the record of every row.
pub(super) struct Placed {
    pub(super) columns: Vec<ArrayRef>,
    pub(super) rows: usize,
    pub(super) spread: Spread,
}

/// Rows as they are read: their fields, and the record and element of each.
struct Rows {
    fields: Vec<ArrayRef>,
    /// The record of every row, and the element of its list from 1; an element 0 is none at all.
    of: Vec<(usize, usize)>,
    /// Records without a list.
    listless: Vec<usize>,
}

/// The columns at their places. Errors: `Source`, when the rows have not all of them.
pub(super) fn place(
    batch: &RecordBatch,
    (layout, shape): (&Layout, &Shape),
    (first, partition): (Offset, PartitionId),
    verdicts: &mut Verdicts,
) -> Result<Placed> {
    let mut rows = fields_of(batch, layout, shape)?;
    let melted = melt(&mut rows, layout)?;
    let Rows { fields, of, listless } = rows;

    let count = of.len();
    let of_record = |column: &RecordColumn| -> ArrayRef {
        match column {
            RecordColumn::Offset => {
                let offsets = of.iter().map(|(record, _)| first.plus(*record).0);
                Arc::new(Int64Array::from_iter_values(offsets))
            }
            RecordColumn::Partition => Arc::new(Int64Array::from(vec![i64::from(partition.0); count])),
            other => new_null_array(&other.data_type(), count),
        }
    };
    let (name, value) = match &melted {
        Some(melted) => (Some(&melted.names), Some(&melted.values)),
        None => (None, None),
    };
    let none = || new_null_array(&DataType::Utf8, count);
    let columns = layout.origins.iter().map(|origin| match origin {
        Origin::Field(at) => Arc::clone(&fields[*at]),
        Origin::Record(column) => of_record(column),
        Origin::MeltedName => name.map_or_else(none, Arc::clone),
        Origin::MeltedValue => value.map_or_else(none, Arc::clone),
    });
    let columns = columns.collect();

    let mut spread = Spread::of(shape);
    for (row, (record, element)) in of.iter().enumerate() {
        verdicts.add_row();
        let element = shape.unnest.as_ref().map(|_| *element).filter(|element| *element > 0);
        spread.add(*record, Part { element, melted: melted.as_ref().map(|melted| melted.columns[row]) });
        if shape.unnest.is_some() && element.is_none() && listless.binary_search(record).is_ok() {
            let list = shape.unnest.as_deref().unwrap_or_default();
            verdicts.reject(row, Reason::Undecodable, || format!("the record has no list `{list}`"));
        }
    }
    Ok(Placed { columns, rows: count, spread })
}

/// The fields of the rows, an element of the list each where there is one.
fn fields_of(batch: &RecordBatch, layout: &Layout, shape: &Shape) -> Result<Rows> {
    let missing = |name: &str| Error::new(Kind::Source, format!("the rows have no column `{name}`"));
    let Some(list) = &shape.unnest else {
        let fields = layout.fields.iter().map(|name| find(batch, name).ok_or_else(|| missing(name)));
        let of = (0..batch.num_rows()).map(|row| (row, 0)).collect();
        return Ok(Rows { fields: fields.collect::<Result<_>>()?, of, listless: Vec::new() });
    };

    let lists = find(batch, list).ok_or_else(|| missing(list))?;
    let is_list = matches!(
        lists.data_type(),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::ListView(_)
    );
    if !is_list {
        return Err(Error::new(Kind::Config, format!("unnest: column `{list}` is no list")));
    }
    let element = match lists.data_type() {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            Arc::clone(field)
        }
        _ => return Err(Error::new(Kind::Config, format!("unnest: lists like `{list}` cannot be read"))),
    };
    let lists =
        cast(&lists, &DataType::List(element)).or_fail(Kind::Source, || "cannot read a column of lists")?;
    let lists = lists.as_list::<i32>();

    let (mut of, mut elements, mut listless) = (Vec::new(), Vec::new(), Vec::new());
    for record in 0..lists.len() {
        if lists.is_null(record) {
            // A row of its own, to be rejected.
            listless.push(record);
            of.push((record, 0));
            elements.push(None);
            continue;
        }
        let (from, to) = (lists.value_offsets()[record], lists.value_offsets()[record + 1]);
        of.extend((1..=(to - from) as usize).map(|nth| (record, nth)));
        elements.extend((from..to).map(|at| Some(at as u32)));
    }

    let (records, elements) = (
        UInt32Array::from_iter_values(of.iter().map(|(record, _)| *record as u32)),
        UInt32Array::from(elements),
    );
    let at_record = |column: ArrayRef| take(&column, &records, None);
    let at_element = |column: ArrayRef| take(&column, &elements, None);
    let within = format!("{list}.");
    let values = lists.values();
    let fields = layout.fields.iter().map(|name| {
        let own = name.strip_prefix(&within).unwrap_or(name);
        let found = match find_within(values, own) {
            Some(field) => at_element(field),
            None if name == list => at_element(Arc::clone(values)),
            None => at_record(find(batch, name).ok_or_else(|| missing(name))?),
        };
        found.or_fail(Kind::Source, || "cannot take the elements of a list apart")
    });
    let fields = fields.collect::<Result<_>>()?;
    Ok(Rows { fields, of, listless })
}

/// What is melted: a name and a value a row.
struct Melted {
    names: ArrayRef,
    values: ArrayRef,
    /// The place of the column of every row.
    columns: Vec<usize>,
}

/// Makes of every row one for each of the columns in which it has a value.
fn melt(rows: &mut Rows, layout: &Layout) -> Result<Option<Melted>> {
    let Some((_, first)) = layout.melted.first() else { return Ok(None) };
    let fail = || "cannot make rows of columns";
    let wanted = rows.fields[*first].data_type().clone();
    let values = layout.melted.iter().map(|(_, at)| cast(&rows.fields[*at], &wanted));
    let values = values.collect::<std::result::Result<Vec<_>, _>>().or_fail(Kind::Source, fail)?;

    let mut picked = Vec::new();
    for row in 0..rows.of.len() {
        let is_listless = rows.listless.binary_search(&rows.of[row].0).is_ok();
        let has_value = |at: &usize| values[*at].is_valid(row) || (is_listless && *at == 0);
        picked.extend((0..values.len()).filter(has_value).map(|at| (at, row)));
    }
    let arrays: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
    let melted = interleave(&arrays, &picked).or_fail(Kind::Source, fail)?;
    let names = StringArray::from_iter_values(picked.iter().map(|(at, _)| layout.melted[*at].0.as_str()));

    let from = UInt32Array::from_iter_values(picked.iter().map(|(_, row)| *row as u32));
    let fields = rows.fields.iter().map(|field| take(field, &from, None));
    rows.fields = fields.collect::<std::result::Result<_, _>>().or_fail(Kind::Source, fail)?;
    rows.of = picked.iter().map(|(_, row)| rows.of[*row]).collect();
    let columns = picked.iter().map(|(at, _)| *at).collect();
    Ok(Some(Melted { names: Arc::new(names), values: melted, columns }))
}
