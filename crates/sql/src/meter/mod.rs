//! Meters: `increase(x)` and `delta(x)`, the step of a reading from the window before into this
//! one.
//! It must not know windows: which reading came before is told by who closes them.

mod accumulator;
mod function;
mod readings;

pub use accumulator::{first_of, last_of, peaks_of};
pub use function::{functions, meter_of, must_be_plain};
pub use readings::Meter;
