//! What sinks have written, as tables: rows that a query reads.
//! It must not know SQL.

mod avro_rows;
mod files;
mod kafka;
mod kafka_rows;
mod proto_rows;

pub use files::file_table;
pub use kafka::kafka_table;
#[cfg(test)]
pub use kafka_rows::read_payloads;
pub use kafka_rows::reject_of;
