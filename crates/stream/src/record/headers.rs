//! The headers of records as a column: a list of names and values, null where there are none.
//! It must not know what a header says.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, ListArray, StringBuilder, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use arrow::record_batch::RecordBatch;

use super::columns::column;
use crate::error::{Error, Kind, OrFail, Result};

/// A header's name, and its value if it has one.
pub type HeaderRef<'a> = (&'a str, Option<&'a [u8]>);

const NAME: &str = "name";
const VALUE: &str = "value";

fn parts() -> Fields {
    Fields::from(vec![Field::new(NAME, DataType::Utf8, false), Field::new(VALUE, DataType::Binary, true)])
}

fn item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Struct(parts()), false))
}

/// The type of the column: the order of headers counts, and names may come twice, so it is no map.
pub fn headers_type() -> DataType {
    DataType::List(item())
}

/// Collects the headers of records.
#[derive(Debug, Default)]
pub struct HeadersBuilder {
    names: StringBuilder,
    values: BinaryBuilder,
    /// How many each record has.
    counts: Vec<usize>,
}

impl HeadersBuilder {
    /// Takes in the headers of a record.
    pub fn push(&mut self, headers: &[HeaderRef<'_>]) {
        for (name, value) in headers {
            self.names.append_value(name);
            self.values.append_option(*value);
        }
        self.counts.push(headers.len());
    }

    /// The headers as a column; then there are none. Errors: `Sink`, which only a fault here can
    /// cause.
    pub fn take(&mut self) -> Result<ArrayRef> {
        let fail = || "cannot build the headers of rejects";
        let counts = std::mem::take(&mut self.counts);
        let columns: Vec<ArrayRef> = vec![Arc::new(self.names.finish()), Arc::new(self.values.finish())];
        let all = StructArray::try_new(parts(), columns, None).or_fail(Kind::Sink, fail)?;

        let nulls = NullBuffer::from_iter(counts.iter().map(|count| *count > 0));
        let ends = OffsetBuffer::from_lengths(counts);
        let lists = ListArray::try_new(item(), ends, Arc::new(all), Some(nulls));
        Ok(Arc::new(lists.or_fail(Kind::Sink, fail)?))
    }
}

/// The column, to read the headers of records.
#[derive(Debug)]
pub struct HeadersColumn<'a>(&'a ListArray);

impl<'a> HeadersColumn<'a> {
    /// The column of this name. Errors: `Query`, when there is none, or it has no headers in it.
    pub fn of(records: &'a RecordBatch, name: &str) -> Result<Self> {
        let lists: &ListArray = column(records, name)?;
        if *lists.data_type() != headers_type() {
            let what = format!("the column {name} is {}", lists.data_type());
            return Err(Error::new(Kind::Query, what));
        }
        Ok(HeadersColumn(lists))
    }

    /// The headers of a record, in their order.
    pub fn get(&self, row: usize) -> Vec<HeaderRef<'a>> {
        if self.0.is_null(row) {
            return Vec::new();
        }
        let ends = self.0.value_offsets();
        let all = self.0.values().as_struct();
        let (names, values) = (all.column(0).as_string::<i32>(), all.column(1).as_binary::<i32>());
        (ends[row] as usize..ends[row + 1] as usize)
            .map(|at| (names.value(at), values.is_valid(at).then(|| values.value(at))))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_twins_and_null_values_are_kept() {
        let of = |records: &[Vec<HeaderRef<'_>>]| {
            let mut builder = HeadersBuilder::default();
            records.iter().for_each(|headers| builder.push(headers));
            RecordBatch::try_from_iter_with_nullable([("headers", builder.take().unwrap(), true)]).unwrap()
        };
        let records = vec![
            vec![("b", Some(&b"1"[..])), ("a", None), ("b", Some(b""))],
            vec![],
            vec![("", Some(b"\xff"))],
        ];
        let batch = of(&records);
        let column = HeadersColumn::of(&batch, "headers").unwrap();
        assert_eq!((0..3).map(|row| column.get(row)).collect::<Vec<_>>(), records);
        assert!(batch["headers"].is_null(1));
        let end = batch.slice(2, 1);
        assert_eq!(HeadersColumn::of(&end, "headers").unwrap().get(0), records[2]);
        assert_eq!(of(&[]).num_rows(), 0);
    }
}
