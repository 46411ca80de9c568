//! JSON Schemas: what they say of the types of a record's fields. No record is checked by them.
//! It must not read data, nor know where schemas come from.
//!
//! Drafts 4, 6, 7 and 2020-12 (<https://json-schema.org/specification>). Of all keywords those are
//! read that say a type; every other one is passed over.

mod columns;
mod documents;
mod types;

pub(super) use self::columns::{fields_of, is_json_schema, is_written_as_text};
