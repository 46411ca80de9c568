//! Whether the pipeline is ready to forecast, and what it waits for if not.
//! It must not decide: the runtime says, the endpoints read.

use std::sync::{Mutex, PoisonError};

/// What the pipeline said last of its readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    Ready,
    /// Why it is not ready, for a person.
    Waiting(String),
}

/// Shared by the runtime that says and the endpoints that read.
#[derive(Debug)]
pub struct Health {
    status: Mutex<Status>,
}

impl Default for Health {
    fn default() -> Self {
        Health { status: Mutex::new(Status::Waiting("starting".into())) }
    }
}

impl Health {
    /// Waiting: `starting`.
    pub fn new() -> Self {
        Self::default()
    }

    pub fn set_waiting(&self, reason: impl Into<String>) {
        self.set(Status::Waiting(reason.into()));
    }

    pub fn set_ready(&self) {
        self.set(Status::Ready);
    }

    pub fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, status: Status) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_word_counts() {
        let health = Health::new();
        assert_eq!(health.status(), Status::Waiting("starting".into()));
        health.set_ready();
        assert_eq!(health.status(), Status::Ready);
        health.set_waiting("no broker");
        assert_eq!(health.status(), Status::Waiting("no broker".into()));
    }
}
