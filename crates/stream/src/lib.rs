//! A partition's dataflow: records come in, operators turn them into forecasts, scores and rejects,
//! a ledger commits them.
//! It must not know DataFusion, Kafka's client or the pipeline file: windows, codecs, sources,
//! sinks and ledgers are handed in.

pub mod closed_window;
pub mod decode;
pub mod error;
pub mod evaluate;
pub mod forecast;
pub mod ledger;
pub mod lock;
pub mod message;
pub mod operator;
pub mod record;
pub mod runtime;
pub mod sink;
pub mod source;
pub mod table;
pub mod telemetry;
pub mod testing;

pub use error::{Error, Kind, OrFail, Result, Retry};
pub use message::Stream;
pub use tickcast_forecast::{EventTime, Mean};
