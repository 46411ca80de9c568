//! Windows that DataFusion plans, and SQL over a pipeline's results.
//! It must not know Kafka or the pipeline file. It is the only crate that links DataFusion.
//!
//! SQL aggregate expressions become the columns of a window:
//!
//! ```
//! use std::sync::Arc;
//! use arrow::datatypes::{DataType, Field, Schema};
//! use tickcast_sql::window::{Aggregation, referenced_columns};
//!
//! let select = [("spread".to_owned(), "max(temp) - min(temp)".to_owned())];
//! assert_eq!(referenced_columns(&select)?, ["temp"]);
//!
//! let rows = Arc::new(Schema::new(vec![Field::new("temp", DataType::Float64, true)]));
//! let aggregation = Aggregation::plan(&select, &rows)?;
//! assert_eq!(aggregation.output_schema().field(0).name(), "spread");
//!
//! // What could differ from run to run is refused: a window's row depends on its records alone.
//! let random = [("noise".to_owned(), "max(temp) * random()".to_owned())];
//! assert!(Aggregation::plan(&random, &rows).is_err());
//! # Ok::<(), tickcast_stream::Error>(())
//! ```

mod column_names;
pub mod deduplicate;
mod depth;
mod expression;
mod fault;
mod meter;
pub mod prepare;
pub mod query;
mod time;
pub mod window;

pub use deduplicate::DeduplicateSpec;
pub use expression::key_of;
pub use prepare::PrepareSpec;
pub use time::TimeExpression;
pub use window::{Fill, Gaps, Stamps, Watermark, WindowKind, WindowSpec};
