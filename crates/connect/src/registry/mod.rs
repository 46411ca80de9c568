//! A client of schema registries: the REST API of Confluent's, which Karapace and Apicurio answer
//! too.
//! It must not know what a schema says, nor how records refer to one.
//!
//! Calls block. They are made by the thread that reads a source or writes a sink, once a schema and
//! never once a record.

mod answer;
mod client;
mod references;
mod schema;
mod servers;
mod spec;
mod unknown;

#[cfg(test)]
mod tests;

pub use client::Registry;
pub use schema::{NewSchema, ReferencedSchema, RegisteredSchema, SchemaKind, SchemaReference};
pub use spec::RegistrySpec;
pub use unknown::UnknownSchema;
