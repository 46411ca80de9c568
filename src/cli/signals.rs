//! Signals: the first asks for an orderly end, the second forces one.
//! It must not end the run itself: it sets a flag that the runners read.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tickcast_stream::error::{Kind, OrFail, Result};

/// Sets `stop` at the first SIGINT or SIGTERM; a second one ends the process with 130 or 143.
pub fn on_signal(stop: &Arc<AtomicBool>) -> Result<()> {
    // `stop` cannot tell: a run that fails sets it too, and then no signal has come yet.
    let has_come = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the forced end looks at the flag before this signal sets it.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&has_come))
            .and_then(|_| flag::register(signal, Arc::clone(&has_come)))
            .and_then(|_| flag::register(signal, Arc::clone(stop)))
            .or_fail(Kind::Io, || "cannot listen for signals")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use signal_hook::low_level::raise;

    use super::*;

    /// Found by: the long chaos run. A run that had failed was about to end with its error when the
    /// first signal came, and ended with 143 before it had committed what it could.
    #[test]
    fn the_first_signal_forces_nothing_though_the_run_is_ending_already() {
        let stop = Arc::new(AtomicBool::new(true));
        on_signal(&stop).unwrap();
        stop.store(true, Ordering::Relaxed);
        raise(SIGTERM).unwrap();
        assert!(stop.load(Ordering::Relaxed), "and this process is still here");
    }
}
