//! Many rows with AVX-512: panels of the weight, expanded and transposed, multiplied in tiles.

use std::ops::Range;

use super::Matmul;
use crate::engine::DType;
use crate::engine::cpu::Team;
use crate::engine::view::{MatMut, Parts};
use crate::kernels::cpu::scratch::with_scratch;
use crate::kernels::cpu::tile::{TILE_COLS, TILE_ROWS, Target, tile, transpose_16};
use crate::kernels::cpu::unpack::{Unpack, unpack_row, with_format};

/// Depth of a panel: 256 rows of 32 columns fill two thirds of a 48 KiB first-level cache, and
/// every block of a quantised row divides it.
const DEPTH: usize = 256;

/// Columns that a task may have.
pub const WIDTHS: [usize; 4] = [128, 96, 64, 32];

pub fn run(job: &Matmul<'_>, team: &Team, out: &mut MatMut<'_>) {
    // Expanding a weight costs about as much as multiplying it with 16 rows.
    let (row_grain, col_grain) = grains(out.rows, out.cols, team.threads(), TILE_ROWS, 16, &WIDTHS);
    let row_parts = out.rows.div_ceil(row_grain);
    let (rows, cols) = (out.rows, out.cols);
    let parts = out.parts();
    team.run(row_parts * cols.div_ceil(col_grain), |task| {
        let (row, col) = (task % row_parts * row_grain, task / row_parts * col_grain);
        let block = Block {
            job,
            out: parts,
            rows: row..rows.min(row + row_grain),
            cols: col..cols.min(col + col_grain),
        };
        // SAFETY: `Matmul::run` checked every extent and chose this path on AVX-512; each task has
        // its own block of the output.
        unsafe { with_format!(job.weight.dtype, U => block.run::<U>()) }
    });
}

/// Rows (a multiple of `side`) and columns (one of `widths`) of a task, so that the slowest thread finishes soonest,
/// where a task's weights cost as much to expand as to multiply with `expansion` rows.
pub fn grains(
    rows: usize,
    cols: usize,
    threads: usize,
    side: usize,
    expansion: usize,
    widths: &[usize],
) -> (usize, usize) {
    let mut best = (usize::MAX, (rows, cols));
    for row_parts in [1, 2, 3, 4, 6, 8, 12, 16] {
        let row_grain = rows.div_ceil(row_parts).next_multiple_of(side);
        for &col_grain in widths {
            let tasks = rows.div_ceil(row_grain) * cols.div_ceil(col_grain);
            // Narrow tasks read `x` more often: a little is added for each.
            let task = (row_grain.min(rows) + expansion) * (col_grain.min(cols) + 2);
            let time = tasks.div_ceil(threads) * task;
            if time < best.0 {
                best = (time, (row_grain, col_grain));
            }
        }
    }
    best.1
}

/// One task: some rows and columns of the output.
struct Block<'a> {
    job: &'a Matmul<'a>,
    out: Parts<'a>,
    rows: Range<usize>,
    cols: Range<usize>,
}

impl Block<'_> {
    /// # Safety
    /// As the function `run` says.
    unsafe fn run<U: Unpack>(&self) {
        let panels = self.cols.len().div_ceil(TILE_COLS);
        let packed_len = panels * TILE_COLS * DEPTH;
        with_scratch(packed_len + 16 * DEPTH, |scratch| {
            let (packed, dense) = scratch.split_at_mut(packed_len);
            for start in (0..self.job.x.cols).step_by(DEPTH) {
                let depth = DEPTH.min(self.job.x.cols - start);
                for panel in 0..panels {
                    let packed = &mut packed[panel * TILE_COLS * DEPTH..][..TILE_COLS * DEPTH];
                    // SAFETY: the caller's.
                    unsafe {
                        self.pack::<U>(panel, start, depth, packed, dense);
                        self.multiply(panel, start, depth, packed);
                    }
                }
            }
        });
    }

    /// Expands the panel's weights and lays them out by depth: `packed[k * TILE_COLS + n]`.
    ///
    /// # Safety
    /// As the function `run` says.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,f16c,fma")]
    unsafe fn pack<U: Unpack>(
        &self,
        panel: usize,
        start: usize,
        depth: usize,
        packed: &mut [f32],
        dense: &mut [f32],
    ) {
        let weight = &self.job.weight;
        let first = self.cols.start + panel * TILE_COLS;
        for half in 0..2 {
            for i in 0..16 {
                let dense = &mut dense[i * DEPTH..][..depth];
                let n = first + 16 * half + i;
                if n < self.cols.end {
                    // SAFETY: `start` is a whole number of blocks, and the row goes on for `depth`.
                    unsafe {
                        let from = weight.row(n).as_ptr().add(start / U::LEN * U::BYTES);
                        unpack_row::<U>(from, dense);
                    }
                } else {
                    dense.fill(0.0);
                }
            }
            for k in (0..depth).step_by(16) {
                let to = &mut packed[k * TILE_COLS + 16 * half..];
                assert!(to.len() >= 15 * TILE_COLS + 16);
                // SAFETY: 16 rows of `DEPTH` in `dense`, and room by the assertion.
                unsafe { transpose_16(dense.as_ptr().add(k), DEPTH, to.as_mut_ptr(), TILE_COLS) };
            }
        }
    }

    /// # Safety
    /// As the function `run` says.
    unsafe fn multiply(&self, panel: usize, start: usize, depth: usize, packed: &[f32]) {
        let job = self.job;
        let col = self.cols.start + panel * TILE_COLS;
        let cols = TILE_COLS.min(self.cols.end - col);
        let bias = match job.bias {
            Some(bias) if start == 0 => bias[col..].as_ptr(),
            _ => std::ptr::null(),
        };
        let mut row = self.rows.start;
        while row < self.rows.end {
            let rows = TILE_ROWS.min(self.rows.end - row);
            // SAFETY: this task's own block of the output, whole rows of `x`.
            unsafe {
                let target = Target {
                    c: self.out.at(row, col),
                    stride: self.out.stride(),
                    cols,
                    keep: start > 0 || job.accumulate,
                    bias,
                };
                let a = job.x.data.as_ptr().add(row * job.x.stride + start);
                tile(
                    rows,
                    depth,
                    a,
                    job.x.stride,
                    packed.as_ptr(),
                    TILE_COLS,
                    target,
                );
            }
            row += rows;
        }
    }
}
