//! Memory that each thread keeps between launches.

use std::cell::RefCell;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

thread_local! {
    /// Free pieces, the one used last on top.
    static KEPT: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `len` floats on a 64-byte boundary. They hold whatever was left there.
pub fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut lines = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
    if lines.len() * 16 < len {
        lines.resize(len.div_ceil(16), Line([0.0; 16]));
    }
    // SAFETY: `Line` is 16 floats without padding, and the vector holds at least `len` of them.
    let floats = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), len) };
    // What a test reads before it is written shows.
    #[cfg(test)]
    floats.fill(f32::NAN);
    let result = work(floats);
    KEPT.with_borrow_mut(|kept| kept.push(lines));
    result
}

/// Takes the first `len` floats of `rest`.
pub fn take<'a>(rest: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    let (taken, left) = std::mem::take(rest).split_at_mut(len);
    *rest = left;
    taken
}
