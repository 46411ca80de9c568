//! What the records of one pipeline have that another's may lack.
//! It must not make records.

use arrow::datatypes::SchemaRef;

use super::{forecast_schema, reject_schema, score_schema};
use crate::message::Stream;

/// The intervals of a pipeline's records, and whether they have a direction.
#[derive(Debug, Clone, Copy)]
pub struct RecordShape<'a> {
    /// The levels of the intervals, within (0, 1).
    pub levels: &'a [f64],
    /// Whether forecasts say how likely a rise is.
    pub direction: bool,
}

impl RecordShape<'_> {
    /// The columns of a stream's records.
    pub fn schema(self, stream: Stream) -> SchemaRef {
        match stream {
            Stream::Forecasts => forecast_schema(self.levels, self.direction),
            Stream::Scores => score_schema(self.levels),
            Stream::Rejects => reject_schema(),
        }
    }
}
