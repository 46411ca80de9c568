//! A partition's dataflow: records come in, operators turn them into forecasts, scores and rejects,
//! a ledger commits them.
//! It must not know DataFusion, Kafka's client or the pipeline file: windows, codecs, sources,
//! sinks and ledgers are handed in.
//!
//! A record that was not taken in leaves as a reject, and is read again as typed rows:
//!
//! ```
//! use tickcast_stream::message::{RawRecord, Reason, Records, Reject};
//! use tickcast_stream::place::{Offset, PartitionId};
//! use tickcast_stream::record::{RejectRows, json_lines, reject_batch};
//!
//! let record = RawRecord {
//!     offset: Offset(7),
//!     payload: Some(br#"{"station": "JFK"}"#.to_vec().into()),
//!     ..RawRecord::default()
//! };
//! let late = Reject {
//!     offset: Offset(7),
//!     reason: Reason::Late,
//!     detail: "its window has closed".to_owned(),
//! };
//! let records = Records::Raw(vec![record]);
//! let batch = reject_batch(&[late], &records, "observations", PartitionId(3))?;
//!
//! for row in RejectRows::of(&batch)?.iter() {
//!     println!("{} partition {} offset {}: {}", row.topic, row.partition, row.offset, row.reason);
//!     assert_eq!((row.reason, row.offset), ("late", Offset(7)));
//! }
//! assert!(json_lines(&batch)?.ends_with(b"\n"));
//! # Ok::<(), tickcast_stream::Error>(())
//! ```

pub mod closed_window;
pub mod decode;
pub mod error;
pub mod evaluate;
mod far_behind;
pub mod forecast;
pub mod ledger;
pub mod lock;
mod log_id;
pub mod message;
pub mod operator;
mod passed_over;
pub mod place;
pub mod record;
pub mod runtime;
pub mod sink;
pub mod source;
mod source_file;
pub mod table;
pub mod telemetry;
pub mod testing;

pub use error::{Error, Kind, OrFail, Result, Retry};
pub use far_behind::{BehindFate, FarBehind};
pub use log_id::{LogChanged, LogId, LogKind};
pub use message::Stream;
pub use passed_over::{PassReason, PassedOver};
pub use place::{Offset, PartitionId};
pub use source_file::SourceFile;
pub use tickcast_forecast::{EventTime, Mean, WindowGrid, WindowOrder, new_places, who_stays};
