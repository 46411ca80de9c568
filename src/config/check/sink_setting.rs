//! What the rest of a pipeline says that its sinks depend on.
//! It must not check it.

use tickcast_connect::registry::RegistrySpec;

/// What a sink has around it.
#[derive(Clone, Copy)]
pub struct SinkSetting<'a> {
    /// The pipeline's name.
    pub pipeline: &'a str,
    /// The source's registry.
    pub registry: Option<&'a RegistrySpec>,
    /// The levels of intervals.
    pub levels: &'a [f64],
}
