//! Which operator makes which windows.
//! It must not know how any of them works.

use std::sync::Arc;

use tickcast_stream::operator::Operator;

use super::by_series::SeriesWindowOperator;
use super::operator::WindowOperator;
use super::own::OwnWindowOperator;
use super::plan::Aggregation;
use super::spec::{Watermark, WindowKind, WindowSpec};

/// An operator with no memory that makes these windows of one partition, over rows whose data
/// columns are those of `aggregation`.
pub fn window_operator(window: &WindowSpec, aggregation: &Arc<Aggregation>) -> Box<dyn Operator> {
    let aggregation = Arc::clone(aggregation);
    match (&window.kind, window.watermark) {
        (WindowKind::Grid(grid), Watermark::Partition) => {
            Box::new(WindowOperator::new(window, grid.clone(), aggregation))
        }
        (WindowKind::Grid(grid), Watermark::Series) => {
            Box::new(SeriesWindowOperator::new(window, grid.clone(), aggregation))
        }
        (&WindowKind::Session { gap_us, max_us }, _) => {
            Box::new(OwnWindowOperator::sessions(window, gap_us, max_us, aggregation))
        }
        (&WindowKind::Count { records }, _) => {
            Box::new(OwnWindowOperator::counts(window, records, aggregation))
        }
    }
}
