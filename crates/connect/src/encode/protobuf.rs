//! Results as Protobuf messages, in the bytes that Google's own libraries write: fields by their
//! numbers, and no field that has its default.
//! It must not know where they go.

use arrow::array::{
    Array, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, MapArray, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Float64Type, Int32Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use prost::encoding::{WireType, bool, double, encode_key, encode_varint, int32, int64, string};
use tickcast_stream::error::{Error, Kind, Result};

use super::payloads::{Frame, Payloads};
use super::proto_schema::number_of;

/// Writes the messages of one schema.
pub(super) struct ProtoWriter {
    /// The column of each field and its number, in the order of the numbers.
    fields: Vec<(usize, u32)>,
    frame: Frame,
}

impl ProtoWriter {
    /// Of records of these columns. Errors: `Config`, for a level that has no number.
    pub fn new(columns: &SchemaRef, frame: Frame) -> Result<Self> {
        let fields = columns.fields().iter().enumerate();
        let fields = fields.map(|(column, field)| Ok((column, number_of(field.name())?)));
        let mut fields = fields.collect::<Result<Vec<_>>>()?;
        fields.sort_by_key(|(_, number)| *number);
        Ok(ProtoWriter { fields, frame })
    }

    /// The rows, a message each. Errors: `Sink`, for a column of a type that results do not have.
    pub fn payloads(&self, rows: &RecordBatch) -> Result<Payloads> {
        let fields = self.fields.iter().map(|&(column, number)| {
            let field = &rows.schema_ref().fields()[column];
            let values = Values::of(rows.column(column).as_ref(), field.is_nullable());
            let fail = || Error::new(Kind::Sink, format!("{} has no type in Protobuf", field.name()));
            Ok((number, values.ok_or_else(fail)?))
        });
        let fields = fields.collect::<Result<Vec<_>>>()?;

        Payloads::of(rows.num_rows(), |row, bytes| {
            self.frame.start_message(bytes);
            fields.iter().for_each(|(number, values)| values.write(*number, row, bytes));
            Ok(())
        })
    }
}

/// The values of a column.
enum Values<'a> {
    Text(&'a StringArray),
    Time(&'a TimestampMicrosecondArray),
    Int(&'a Int32Array),
    Long(&'a Int64Array),
    /// `true`: a value that is there is written also where it is the default.
    Double(&'a Float64Array, bool),
    Flag(&'a BooleanArray, bool),
    Map(&'a MapArray, &'a StringArray, &'a Float64Array),
}

impl<'a> Values<'a> {
    fn of(column: &'a dyn Array, is_nullable: bool) -> Option<Self> {
        Some(match column.data_type() {
            DataType::Utf8 => Values::Text(column.as_string()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Values::Time(column.as_primitive::<TimestampMicrosecondType>())
            }
            DataType::Int32 => Values::Int(column.as_primitive::<Int32Type>()),
            DataType::Int64 => Values::Long(column.as_primitive::<Int64Type>()),
            DataType::Float64 => Values::Double(column.as_primitive::<Float64Type>(), is_nullable),
            DataType::Boolean => Values::Flag(column.as_boolean(), is_nullable),
            DataType::Map(..) => {
                let map = column.as_map();
                let values = map.values().as_primitive_opt::<Float64Type>()?;
                Values::Map(map, map.keys().as_string_opt()?, values)
            }
            _ => return None,
        })
    }

    /// Writes the field of a row; a null is a field that is left out.
    fn write(&self, number: u32, row: usize, bytes: &mut Vec<u8>) {
        match self {
            Values::Text(texts) if !texts.value(row).is_empty() => {
                string::encode(number, &texts.value(row).to_owned(), bytes);
            }
            Values::Time(times) if times.is_valid(row) => write_time(number, times.value(row), bytes),
            Values::Int(numbers) if numbers.value(row) != 0 => {
                int32::encode(number, &numbers.value(row), bytes);
            }
            Values::Long(numbers) if numbers.value(row) != 0 => {
                int64::encode(number, &numbers.value(row), bytes);
            }
            // A negative zero is not the default.
            Values::Double(numbers, is_nullable)
                if numbers.is_valid(row) && (*is_nullable || numbers.value(row).to_bits() != 0) =>
            {
                double::encode(number, &numbers.value(row), bytes);
            }
            Values::Flag(flags, is_nullable) if flags.is_valid(row) && (*is_nullable || flags.value(row)) => {
                bool::encode(number, &flags.value(row), bytes);
            }
            Values::Map(map, keys, values) if map.is_valid(row) => {
                let (from, to) = (map.value_offsets()[row] as usize, map.value_offsets()[row + 1] as usize);
                for at in (from..to).filter(|&at| values.is_valid(at)) {
                    write_entry(number, keys.value(at), values.value(at), bytes);
                }
            }
            _ => {}
        }
    }
}

/// A `google.protobuf.Timestamp`: seconds, and what is above them in nanoseconds.
fn write_time(number: u32, us: i64, bytes: &mut Vec<u8>) {
    let (seconds, nanos) = (us.div_euclid(1_000_000), us.rem_euclid(1_000_000) as i32 * 1000);
    let mut time = Vec::new();
    if seconds != 0 {
        int64::encode(1, &seconds, &mut time);
    }
    if nanos != 0 {
        int32::encode(2, &nanos, &mut time);
    }
    write_message(number, &time, bytes);
}

/// An entry of a map: a message of its key and its value, both of them always there.
fn write_entry(number: u32, key: &str, value: f64, bytes: &mut Vec<u8>) {
    let mut entry = Vec::new();
    string::encode(1, &key.to_owned(), &mut entry);
    double::encode(2, &value, &mut entry);
    write_message(number, &entry, bytes);
}

fn write_message(number: u32, message: &[u8], bytes: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, bytes);
    encode_varint(message.len() as u64, bytes);
    bytes.extend_from_slice(message);
}
