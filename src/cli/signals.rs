//! Signals: the first asks for an orderly end, the second forces one.
//! It must not end the run itself: it sets a flag that the runners read.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tickcast_stream::error::{Kind, OrFail, Result};

/// Sets `stop` at the first SIGINT or SIGTERM; a second one ends the process with 130 or 143.
pub fn on_signal(stop: &Arc<AtomicBool>) -> Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the forced end looks at the flag before this signal sets it.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(stop))
            .and_then(|_| flag::register(signal, Arc::clone(stop)))
            .or_fail(Kind::Io, || "cannot listen for signals")?;
    }
    Ok(())
}
