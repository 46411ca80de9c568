//! One way to take a lock.
//! It must not hide a panic: who panicked with the lock has already ended its thread, and that is
//! what is reported.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes the lock, also when another thread has panicked with it: all that is shared here is whole
/// between any two statements.
pub fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_lock_is_taken_although_another_thread_panicked_with_it() {
        let shared = Arc::new(Mutex::new(1));
        let other = Arc::clone(&shared);
        let panicked = std::thread::spawn(move || {
            let _held = lock(&other);
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        *lock(&shared) += 1;
        assert_eq!(*lock(&shared), 2);
    }
}
