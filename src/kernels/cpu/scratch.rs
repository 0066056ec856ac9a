//! Memory that each thread keeps between launches.

use std::cell::Cell;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

thread_local! {
    static KEPT: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// Calls `work` with `len` floats on a 64-byte boundary. They hold whatever was left there.
///
/// A call inside a call gets memory of its own, which is not kept.
pub fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut lines = KEPT.take();
    if lines.len() * 16 < len {
        lines.resize(len.div_ceil(16), Line([0.0; 16]));
    }
    // SAFETY: `Line` is 16 floats without padding, and the vector holds at least `len` of them.
    let floats = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), len) };
    let result = work(floats);
    KEPT.set(lines);
    result
}
