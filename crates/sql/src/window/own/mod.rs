//! Windows that each series has of its own: sessions, and windows of so many records.
//! It must not know where rows come from or what is done with a closed window.

mod clock;
mod close;
mod operator;
mod rule;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;

pub use operator::OwnWindowOperator;
