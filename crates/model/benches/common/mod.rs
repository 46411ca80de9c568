//! What benches and timing examples share: the work that is timed, how it is timed, what the core
//! could do.
//! It must not know who reports the times, nor how.

// Each of them uses a part.
#![allow(dead_code, clippy::expect_used, reason = "each benchmark uses a part, and fails by a panic")]

pub mod clock;
pub mod online;
pub mod peak;
pub mod training;

use tickcast_model::CellKind;

pub const CELLS: [CellKind; 3] = [CellKind::Rnn, CellKind::Lstm, CellKind::Gru];

pub fn name(cell: CellKind) -> &'static str {
    match cell {
        CellKind::Rnn => "rnn",
        CellKind::Lstm => "lstm",
        CellKind::Gru => "gru",
    }
}

pub fn cell(name: &str) -> CellKind {
    CELLS.into_iter().find(|cell| self::name(*cell) == name).expect("rnn, lstm or gru")
}
