//! The wall clock of an instance: days before or after the machine's, and it jumps between any two
//! looks at it. It must not know what the instance does under it.

use std::time::{Duration, SystemTime};

use super::faults::Chance;

/// Far more than a test takes.
const HOUR: Duration = Duration::from_secs(3600);

pub struct Clock {
    seed: u64,
    chance: Chance,
}

fn is_apart(one: SystemTime, other: SystemTime) -> bool {
    one.duration_since(other).unwrap_or_else(|before| before.duration()) > HOUR
}

impl Clock {
    pub fn new(chance: &Chance) -> Self {
        Clock { seed: chance.pick(0..usize::MAX) as u64, chance: chance.clone() }
    }

    /// Does it under this clock, where the platform lets the tests set one.
    pub fn run<T>(&mut self, act: impl FnOnce() -> T) -> T {
        self.seed = self.seed.wrapping_add(1);
        let machine = SystemTime::now();
        let ((before, done, after), looks) = skewed(self.seed, || {
            let before = SystemTime::now();
            let done = act();
            (before, done, SystemTime::now())
        });

        // Two looks are ours: they show that it is off.
        self.chance.count("looks at a wall clock that is off", looks.saturating_sub(2) as usize);
        self.chance.count("wall clocks hours off", usize::from(is_apart(machine, before)));
        self.chance.count("wall clocks that jumped hours", usize::from(is_apart(before, after)));
        self.chance.count("wall clocks that went back", usize::from(after < before));
        done
    }
}

#[cfg(target_os = "linux")]
use crate::disk::skewed;

#[cfg(not(target_os = "linux"))]
fn skewed<T>(_: u64, act: impl FnOnce() -> T) -> (T, u64) {
    (act(), 0)
}
