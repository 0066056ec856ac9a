//! Watches over the time and the memory of each case.

use std::alloc::{GlobalAlloc, Layout, System};
use std::panic;
use std::process;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// More memory is not given: the program would end with an error as on a machine that has no more.
const HARD_BYTES: usize = 4 << 30;
/// A case that takes longer hangs. Reading a PDF gives up after two minutes by itself.
const LONGEST: Duration = Duration::from_secs(150);

static LIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
static TOLD: AtomicBool = AtomicBool::new(false);
/// The case that runs, and how many have begun.
static CASE: Mutex<(&str, usize)> = Mutex::new(("", 0));
static BEGUN: AtomicU64 = AtomicU64::new(0);
static RUNS: AtomicBool = AtomicBool::new(false);
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// The system's allocator, which counts what is in use.
pub struct Counting;

fn grow(bytes: usize) -> bool {
    let live = LIVE.fetch_add(bytes, Relaxed).saturating_add(bytes);
    MOST.fetch_max(live, Relaxed);
    if live <= HARD_BYTES {
        return true;
    }
    LIVE.fetch_sub(bytes, Relaxed);
    if !TOLD.swap(true, Relaxed) {
        let (kind, case) = CASE.try_lock().map_or(("?", 0), |case| *case);
        eprintln!("{kind}:{case} asks for {bytes} bytes beside {live}");
    }
    false
}

// SAFETY: every call goes to the system's allocator with what the caller gave; a null pointer, which
// tells that memory is out, is given in its place.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !grow(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the layout is the caller's, who keeps to the rules of this call.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !grow(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the pointer is one that the system's allocator gave for this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !grow(size) {
            return std::ptr::null_mut();
        }
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as in `dealloc`; the caller vouches for the new size.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Begins a case; returns the bytes in use.
pub fn begin(kind: &'static str, case: usize) -> usize {
    *CASE.lock().unwrap_or_else(|e| e.into_inner()) = (kind, case);
    TOLD.store(false, Relaxed);
    BEGUN.fetch_add(1, Relaxed);
    RUNS.store(true, Relaxed);
    let live = LIVE.load(Relaxed);
    MOST.store(live, Relaxed);
    live
}

/// Ends it; returns the bytes that it had in use at most.
pub fn end(before: usize) -> usize {
    RUNS.store(false, Relaxed);
    MOST.load(Relaxed).saturating_sub(before)
}

/// Ends the program if one case takes too long: a thread cannot be ended from outside.
pub fn watch() {
    thread::spawn(|| {
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            thread::sleep(Duration::from_millis(500));
            let begun = BEGUN.load(Relaxed);
            if begun != seen || !RUNS.load(Relaxed) {
                (seen, since) = (begun, Instant::now());
            } else if since.elapsed() > LONGEST {
                let (kind, case) = *CASE.lock().unwrap_or_else(|e| e.into_inner());
                eprintln!("{kind}:{case} takes longer than {} s", LONGEST.as_secs());
                process::exit(1);
            }
        }
    });
}

/// Keeps what a panic says instead of printing it.
pub fn remember_panics() {
    panic::set_hook(Box::new(|panic| {
        if !RUNS.load(Relaxed) {
            eprintln!("{panic}");
        }
        *LAST_PANIC.lock().unwrap_or_else(|e| e.into_inner()) = panic.to_string();
    }));
}

pub fn last_panic() -> String {
    LAST_PANIC
        .lock()
        .unwrap_or_else(|e| e.into_inner())
        .replace('\n', " ")
}
