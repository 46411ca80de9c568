//! What is done with records before their windows: columns derived from others, and the choice of
//! those that count.
//! It must not know windows.

mod column_types;
mod operator;
mod plan;
mod spec;

pub use column_types::infer_types;
pub use operator::PrepareOperator;
pub use plan::Preparation;
pub use spec::PrepareSpec;
