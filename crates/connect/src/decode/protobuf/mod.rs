//! Protobuf: schemas, their columns, and the wire format.
//! It must not know what values mean, nor where schemas come from.

mod plan;
mod reader;
#[cfg(test)]
mod reader_tests;
mod schema;
mod wire;

pub(super) use self::reader::ProtoReader;
pub(crate) use self::schema::ProtoSchema;
pub(super) use self::schema::columns_of;
