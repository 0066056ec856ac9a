//! Products of matrices that lie anywhere, by the crate whose kernels know most processors.

use gemm_common::Parallelism;
use gemm_f32::gemm::f32::get_gemm_fn;

/// A matrix: element (row, col) is at `at[row * by_row + col * by_col]`.
#[derive(Clone, Copy)]
pub struct Operand {
    pub at: *const f32,
    pub by_row: usize,
    pub by_col: usize,
}

/// `out += a * b`, of `(rows, depth, cols)`, on the calling thread. The rows of `out` are
/// `out_stride` apart, its columns adjacent.
///
/// # Safety
/// Every element of the three must be inside what its pointer may reach, and nobody else may touch
/// those of `out` meanwhile.
pub unsafe fn add(
    (rows, depth, cols): (usize, usize, usize),
    a: Operand,
    b: Operand,
    out: *mut f32,
    out_stride: usize,
) {
    let by = |stride: usize| stride as isize;
    // The kernels write down columns, so they are given the transpose: out^T += b^T * a^T.
    // SAFETY: the caller's.
    unsafe {
        get_gemm_fn()(
            cols,
            rows,
            depth,
            out,
            by(out_stride),
            1,
            true,
            b.at,
            by(b.by_row),
            by(b.by_col),
            a.at,
            by(a.by_row),
            by(a.by_col),
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
