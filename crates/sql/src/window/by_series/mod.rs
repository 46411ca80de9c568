//! Windows of a grid by series: those of each close by the times of its own records.
//! It must not know windows that a grid does not make.

mod close;
mod operator;
mod snapshot;
mod state;

pub(super) use operator::SeriesWindowOperator;
