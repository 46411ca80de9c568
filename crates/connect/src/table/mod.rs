//! What sinks have written, as tables: rows that a query reads.
//! It must not know SQL.

mod files;
mod kafka;
mod kafka_rows;

pub use files::file_table;
pub use kafka::kafka_table;
pub use kafka_rows::reject_of;
