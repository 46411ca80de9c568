//! The calls themselves, in place of the C library's: they go to the kernel, and tell the recorder
//! of their thread. It must not decide what fails.

#![expect(unsafe_code, reason = "to stand in place of the C library's calls has no safe wrapper")]

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, OsStr, c_char, c_int, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::rc::Rc;

use libc::{AT_FDCWD, clockid_t, iovec, mode_t, off_t, size_t, ssize_t, timespec};

use super::cut::Image;
use super::record::{Faults, Op, Recorder};

thread_local! {
    static HERE: Cell<*const RefCell<Recorder>> = const { Cell::new(ptr::null()) };
    /// What decides the wall clock of this thread, if not the machine's.
    static CLOCK: Cell<Option<u64>> = const { Cell::new(None) };
    static CLOCK_READS: Cell<u64> = const { Cell::new(0) };
}

/// What this thread does below a directory is written down until this is dropped.
pub struct Recording(Rc<RefCell<Recorder>>);

impl Recording {
    pub fn begin(root: &Path, image: &Image, faults: Faults) -> Self {
        let recorder = Rc::new(RefCell::new(Recorder::new(root, image, faults)));
        HERE.set(Rc::as_ptr(&recorder));
        Recording(recorder)
    }

    /// How much was done so far.
    pub fn len(&self) -> usize {
        self.0.borrow().ops.len()
    }

    /// How many faults were met so far.
    pub fn faults_met(&self) -> u64 {
        self.0.borrow().faults_met()
    }

    pub fn end(self) -> (Vec<Op>, super::Counts) {
        let mut recorder = self.0.borrow_mut();
        (std::mem::take(&mut recorder.ops), std::mem::take(&mut recorder.faults.counts))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        HERE.set(ptr::null());
    }
}

/// Does it under a wall clock that is hours off and jumps at every look at it; with it comes how
/// often it was looked at.
pub fn skewed<T>(seed: u64, act: impl FnOnce() -> T) -> (T, u64) {
    let before = (CLOCK.replace(Some(seed)), CLOCK_READS.replace(0));
    let done = act();
    CLOCK.set(before.0);
    (done, CLOCK_READS.replace(before.1))
}

/// Tells the recorder of this thread, where there is one. What it does itself is not recorded.
fn tell<T>(what: impl FnOnce(&mut Recorder) -> T) -> Option<T> {
    let here = HERE.replace(ptr::null());
    // SAFETY: it is null or points to what a living `Recording` of this thread holds.
    let told = unsafe { here.as_ref() }.map(|recorder| what(&mut recorder.borrow_mut()));
    HERE.set(here);
    told
}

/// SAFETY of the callers: the C library's own contract, paths are strings that end with a zero.
unsafe fn path<'a>(of: *const c_char) -> &'a Path {
    Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(of) }.to_bytes()))
}

fn fail(errno: c_int) -> c_int {
    unsafe { *libc::__errno_location() = errno };
    -1
}

unsafe fn open_as(at: c_int, of: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    let fd = unsafe { libc::syscall(libc::SYS_openat, at, of, flags, mode) } as c_int;
    if fd >= 0 {
        tell(|recorder| recorder.opened(unsafe { path(of) }, flags & libc::O_TRUNC != 0, fd));
    }
    fd
}

// The third argument of the real ones is variadic; a register holds it either way.
#[unsafe(no_mangle)]
unsafe extern "C" fn open64(of: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    unsafe { open_as(AT_FDCWD, of, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open(of: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    unsafe { open_as(AT_FDCWD, of, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn close(fd: c_int) -> c_int {
    tell(|recorder| recorder.closed(fd));
    unsafe { libc::syscall(libc::SYS_close, fd) as c_int }
}

/// Where a descriptor is in its file.
fn at(fd: c_int) -> u64 {
    unsafe { libc::syscall(libc::SYS_lseek, fd, 0, libc::SEEK_CUR) as u64 }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, from: *const c_void, count: size_t) -> ssize_t {
    if let Some(errno) = tell(|recorder| recorder.refuses_write(fd)).flatten() {
        return fail(errno) as ssize_t;
    }
    let written = unsafe { libc::syscall(libc::SYS_write, fd, from, count) } as ssize_t;
    if written > 0 {
        let bytes = || unsafe { std::slice::from_raw_parts(from.cast::<u8>(), written as usize) }.to_vec();
        tell(|recorder| recorder.wrote(fd, at(fd), bytes()));
    }
    written
}

#[unsafe(no_mangle)]
unsafe extern "C" fn writev(fd: c_int, from: *const iovec, count: c_int) -> ssize_t {
    if let Some(errno) = tell(|recorder| recorder.refuses_write(fd)).flatten() {
        return fail(errno) as ssize_t;
    }
    let written = unsafe { libc::syscall(libc::SYS_writev, fd, from, count) } as ssize_t;
    if written > 0 {
        let bytes = || {
            let pieces = unsafe { std::slice::from_raw_parts(from, count as usize) };
            let piece =
                |of: &iovec| unsafe { std::slice::from_raw_parts(of.iov_base.cast::<u8>(), of.iov_len) };
            let mut bytes: Vec<u8> =
                pieces.iter().filter(|of| of.iov_len > 0).flat_map(piece).copied().collect();
            bytes.truncate(written as usize);
            bytes
        };
        tell(|recorder| recorder.wrote(fd, at(fd), bytes()));
    }
    written
}

unsafe fn resize(fd: c_int, len: off_t) -> c_int {
    let done = unsafe { libc::syscall(libc::SYS_ftruncate, fd, len) } as c_int;
    if done == 0 {
        tell(|recorder| recorder.resized(fd, len as u64));
    }
    done
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate64(fd: c_int, len: off_t) -> c_int {
    unsafe { resize(fd, len) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate(fd: c_int, len: off_t) -> c_int {
    unsafe { resize(fd, len) }
}

fn sync(fd: c_int, call: libc::c_long) -> c_int {
    match tell(|recorder| recorder.synced(fd)).flatten() {
        Some(Ok(())) => 0,
        Some(Err(errno)) => fail(errno),
        None => unsafe { libc::syscall(call, fd) as c_int },
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fsync)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fdatasync)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    if let Some(errno) = tell(|recorder| recorder.refuses_rename(unsafe { path(to) })).flatten() {
        return fail(errno);
    }
    let done = unsafe { libc::syscall(libc::SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0) } as c_int;
    if done == 0 {
        tell(|recorder| unsafe { recorder.renamed(path(from), path(to)) });
    }
    done
}

#[unsafe(no_mangle)]
unsafe extern "C" fn linkat(
    from_dir: c_int,
    from: *const c_char,
    to_dir: c_int,
    to: *const c_char,
    flags: c_int,
) -> c_int {
    let done = unsafe { libc::syscall(libc::SYS_linkat, from_dir, from, to_dir, to, flags) } as c_int;
    if done == 0 {
        tell(|recorder| unsafe { recorder.linked(path(from), path(to)) });
    }
    done
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(of: *const c_char) -> c_int {
    let done = unsafe { libc::syscall(libc::SYS_unlinkat, AT_FDCWD, of, 0) } as c_int;
    if done == 0 {
        tell(|recorder| recorder.removed(unsafe { path(of) }));
    }
    done
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdir(of: *const c_char, mode: mode_t) -> c_int {
    let done = unsafe { libc::syscall(libc::SYS_mkdirat, AT_FDCWD, of, mode) } as c_int;
    if done == 0 {
        tell(|recorder| recorder.made_dir(unsafe { path(of) }));
    }
    done
}

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: clockid_t, now: *mut timespec) -> c_int {
    let done = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, now) } as c_int;
    if let (0, libc::CLOCK_REALTIME, Some(state)) = (done, clock, CLOCK.get()) {
        let next = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        CLOCK.set(Some(next));
        CLOCK_READS.set(CLOCK_READS.get() + 1);
        // Up to two days before or after.
        let off = (next >> 33) as i64 % (4 * 86_400) - 2 * 86_400;
        unsafe { (*now).tv_sec += off };
    }
    done
}
