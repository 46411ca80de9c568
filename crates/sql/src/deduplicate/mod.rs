//! Records that came before: each counts once.
//! It must not know windows.

mod operator;
mod seen;
mod spec;

pub use operator::DeduplicateOperator;
pub use spec::DeduplicateSpec;
