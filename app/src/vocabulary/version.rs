//! Version numbers, by which views notice a change.

use std::sync::atomic::{AtomicU64, Ordering};

/// A version number that was never given before.
pub fn fresh_version() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}
