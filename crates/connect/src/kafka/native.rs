//! What is made by librdkafka's own calls, and released when nobody has it any more.
//! It must not know which things there are.

/// Releases what librdkafka has made.
pub struct Owned<T>(pub *mut T, pub unsafe extern "C" fn(*mut T));

impl<T> Drop for Owned<T> {
    #[expect(unsafe_code, reason = "librdkafka's call has no safe wrapper")]
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the pointer came from the library, its owner is this, and this is its end.
            unsafe { (self.1)(self.0) }
        }
    }
}
