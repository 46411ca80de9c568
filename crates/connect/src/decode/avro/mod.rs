//! Avro: schemas, their columns, and the binary encoding.
//! It must not know what values mean, nor where schemas come from.

mod columns;
mod objects;
mod reader;
#[cfg(test)]
mod reader_tests;
mod schema;
mod values;
mod wire;

pub(super) use self::columns::fields_of;
pub(crate) use self::objects::AvroObjects;
pub(super) use self::reader::AvroReader;
pub(super) use self::schema::AvroSchema;
#[cfg(test)]
pub(crate) use self::wire::write_long;
