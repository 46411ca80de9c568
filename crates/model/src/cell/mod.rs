//! The recurrent cells and the layer that runs them: the plain reference, generic over f32 and f64.
//! It must not know heads, losses or how a network stacks its layers.
//!
//! ```text
//! recurrence ──▶ rnn, lstm, gru ──▶ layer     a step's equations; the loop through time
//! ```

mod gru;
mod layer;
mod lstm;
mod recurrence;
mod rnn;

pub use layer::{LayerState, LayerTape, backward, forward};
