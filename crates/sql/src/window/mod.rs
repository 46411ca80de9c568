//! Event-time windows: assign, judge lateness record by record, aggregate, close.
//! It must not know where records come from or what is done with a closed window.

mod aggregate;
mod assign;
mod by_series;
mod close;
mod late_series;
mod operator;
mod panes;
mod pick;
mod plan;
mod rows;
mod silence;
mod snapshot;
mod spec;
mod state;

pub use by_series::SeriesWindowOperator;
pub use operator::WindowOperator;
pub(crate) use plan::path_of;
pub use plan::{Aggregation, referenced_columns};
pub(crate) use rows::computable;
pub use spec::{Fill, Gaps, Stamps, Watermark, WindowSpec};
