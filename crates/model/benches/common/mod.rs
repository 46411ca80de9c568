//! What benches and timing examples share: the work that is timed, how it is timed, what the core could do.
//! It must not know who reports the times, nor how.

// Each of them uses a part.
#![allow(dead_code)]

pub mod clock;
pub mod online;
pub mod peak;
pub mod training;

use tickcast_model::Cell;

pub const CELLS: [Cell; 3] = [Cell::Rnn, Cell::Lstm, Cell::Gru];

pub fn name(cell: Cell) -> &'static str {
    match cell {
        Cell::Rnn => "rnn",
        Cell::Lstm => "lstm",
        Cell::Gru => "gru",
    }
}

pub fn cell(name: &str) -> Cell {
    CELLS.into_iter().find(|cell| self::name(*cell) == name).expect("rnn, lstm or gru")
}
