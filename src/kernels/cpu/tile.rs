//! The register-blocked multiplication of each level of vectors: a tile of some rows by a few
//! vectors.

#[cfg(target_arch = "x86_64")]
mod narrow;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod wide;

use crate::engine::DType;

#[cfg(target_arch = "aarch64")]
pub use neon::{Neon, products as products_neon, store as store_neon};
#[cfg(target_arch = "x86_64")]
pub use {
    narrow::{Avx2, products as products_avx2, store as store_avx2},
    wide::{Avx512, TILE_COLS, TILE_ROWS},
};

/// What a tile multiplies: `k` values in each row of `a`, and a tile's columns in each of the `k`
/// rows of `b`.
#[derive(Clone, Copy)]
pub struct Operands {
    pub k: usize,
    pub a: *const f32,
    /// Floats from one row to the next.
    pub a_stride: usize,
    pub b: *const f32,
    pub b_stride: usize,
}

/// Where a tile's result goes and what it starts from.
#[derive(Clone, Copy)]
pub struct Target {
    pub c: *mut f32,
    /// Floats from one row of `c` to the next.
    pub stride: usize,
    /// Columns written, at most those of a tile.
    pub cols: usize,
    /// Add to what `c` holds instead of replacing it.
    pub keep: bool,
    /// `cols` values to add to every row, or null.
    pub bias: *const f32,
}

/// A level of vectors that multiplies many rows by weights.
pub trait Level {
    /// Floats of a vector.
    const LANES: usize;
    /// Rows of a full tile.
    const ROWS: usize;
    /// Columns of a full tile: whole vectors.
    const COLS: usize = 2 * Self::LANES;
    /// The most depth of a panel: one of `COLS` columns fills half to two thirds of the first-level
    /// cache. A multiple of the lanes and of every short block of quantised weights.
    const DEPTH: usize;
    /// Rows that pass all panels of a task before the next ones do.
    const TOGETHER: usize;
    /// Rows by which a task's weights must be multiplied to take as long as they take to expand: as
    /// they lie, and transposed.
    const EXPANSION: [usize; 2];

    /// Expands as many weights as `out` has room for, which are whole blocks.
    ///
    /// # Safety
    /// The processor must have this level.
    unsafe fn expand(dtype: DType, weights: &[u8], out: &mut [f32]);

    /// Transposes `LANES` rows of as many values: `out[i * out_stride + j] = src[j * src_stride +
    /// i]`.
    ///
    /// # Safety
    /// Both blocks must be there, and the processor must have this level.
    unsafe fn transpose(src: *const f32, src_stride: usize, out: *mut f32, out_stride: usize);

    /// `c = a * b` for up to `ROWS` rows, of whose `COLS` columns the first `target.cols` are used.
    ///
    /// # Safety
    /// All of that memory must be there, with `COLS` readable values in each row of `b`, and the
    /// processor must have this level.
    unsafe fn tile(rows: usize, operands: Operands, target: Target);
}
