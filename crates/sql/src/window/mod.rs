//! Event-time windows: assign, judge lateness record by record, aggregate, close.
//! It must not know where records come from or what is done with a closed window.

mod aggregate;
mod arguments;
mod assign;
mod by_series;
mod close;
mod closed_rows;
mod failures;
mod kinds;
mod last_readings;
mod late_series;
mod operator;
mod own;
mod panes;
mod pick;
mod plan;
mod pool;
mod pool_image;
mod query;
mod row_store;
mod rows;
mod silence;
mod snapshot;
mod spec;
mod state;
mod states;
mod trial;

pub use kinds::window_operator;
pub(crate) use pick::pick;
pub(crate) use plan::path_of;
pub use plan::{Aggregation, referenced_columns};
pub(crate) use rows::{computable, rejected, system};
pub use spec::{Fill, Gaps, Stamps, Watermark, WindowKind, WindowSpec};
