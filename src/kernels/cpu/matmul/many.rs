//! Many rows: panels of the weight, expanded and transposed, multiplied in tiles.

use std::ops::Range;

use super::Matmul;
use crate::engine::cpu::Team;
use crate::engine::view::{MatMut, Parts};
use crate::kernels::cpu::scratch::with_scratch;
use crate::kernels::cpu::tile::{Level, Operands, Target};

/// Columns that a task may have.
const WIDTHS: [usize; 4] = [128, 96, 64, 32];

/// # Safety
/// `Matmul::run` must have checked every extent, and the processor have the level.
pub unsafe fn run<L: Level>(job: &Matmul<'_>, team: &Team, out: &mut MatMut<'_>) {
    let (rows, cols, threads) = (out.rows, out.cols, team.threads());
    let (row_grain, col_grain) = grains(rows, cols, threads, L::ROWS, L::EXPANSION[1], &WIDTHS);
    let row_parts = rows.div_ceil(row_grain);
    let out = out.parts();
    // All rows of some columns follow one another.
    team.run(row_parts * cols.div_ceil(col_grain), |task| {
        let (row, col) = (task % row_parts * row_grain, task / row_parts * col_grain);
        let block = Block {
            job,
            out,
            rows: row..rows.min(row + row_grain),
            cols: col..cols.min(col + col_grain),
        };
        // SAFETY: the caller's; each task has its own block of the output.
        unsafe { block.run::<L>() }
    });
}

/// Rows (a multiple of `side`) and columns (one of `widths`) of a task, so that the slowest thread
/// finishes soonest, where a task's weights cost as much to expand as to multiply with `expansion`
/// rows.
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

/// Depth of panels, so that `len` is cut into equal ones of whole blocks.
pub fn depth<L: Level>(len: usize, block_len: usize) -> usize {
    let block = block_len.max(32);
    let most = L::DEPTH / block * block;
    let pieces = len.div_ceil(most).max(1);
    len.div_ceil(pieces).max(1).next_multiple_of(block)
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
    unsafe fn run<L: Level>(&self) {
        let most = depth::<L>(self.job.x.cols, self.job.weight.dtype.block_len());
        let panels = self.cols.len().div_ceil(L::COLS);
        let panel = L::COLS * most;
        with_scratch(panels * panel + L::LANES * most, |scratch| {
            let (packed, dense) = scratch.split_at_mut(panels * panel);
            for start in (0..self.job.x.cols).step_by(most) {
                let depth = start..self.job.x.cols.min(start + most);
                let firsts = || self.cols.clone().step_by(L::COLS);
                for (packed, col) in packed.chunks_exact_mut(panel).zip(firsts()) {
                    // SAFETY: the caller's.
                    unsafe { self.pack::<L>(col, &depth, packed, dense) };
                }
                for row in self.rows.clone().step_by(L::TOGETHER) {
                    let rows = row..self.rows.end.min(row.saturating_add(L::TOGETHER));
                    for (packed, col) in packed.chunks_exact(panel).zip(firsts()) {
                        // SAFETY: the caller's.
                        unsafe { self.multiply::<L>(rows.clone(), col, &depth, packed) };
                    }
                }
            }
        });
    }

    /// Expands the panel's weights and lays them out by depth: `packed[k * COLS + n]`.
    ///
    /// # Safety
    /// As the function `run` says.
    unsafe fn pack<L: Level>(
        &self,
        col: usize,
        depth: &Range<usize>,
        packed: &mut [f32],
        dense: &mut [f32],
    ) {
        let weight = &self.job.weight;
        let stride = dense.len() / L::LANES;
        let byte = |k: usize| weight.dtype.row_bytes(k).unwrap_or(0);
        let bytes = byte(depth.start)..byte(depth.end);
        for first in (0..L::COLS).step_by(L::LANES) {
            for i in 0..L::LANES {
                let dense = &mut dense[i * stride..][..depth.len()];
                let n = col + first + i;
                if n < self.cols.end {
                    // SAFETY: the caller's.
                    unsafe { L::expand(weight.dtype, &weight.row(n)[bytes.clone()], dense) };
                } else {
                    dense.fill(0.0);
                }
            }
            for k in (0..depth.len()).step_by(L::LANES) {
                let to = &mut packed[k * L::COLS + first..];
                assert!(to.len() >= (L::LANES - 1) * L::COLS + L::LANES);
                // SAFETY: rows of `stride` in `dense`, a multiple of the lanes, and room by the
                // assertion.
                unsafe { L::transpose(dense.as_ptr().add(k), stride, to.as_mut_ptr(), L::COLS) };
            }
        }
    }

    /// # Safety
    /// As the function `run` says.
    unsafe fn multiply<L: Level>(
        &self,
        rows: Range<usize>,
        col: usize,
        depth: &Range<usize>,
        packed: &[f32],
    ) {
        let job = self.job;
        let bias = match job.bias {
            Some(bias) if depth.start == 0 => bias[col..].as_ptr(),
            _ => std::ptr::null(),
        };
        let stride = job.x.stride;
        for row in rows.clone().step_by(L::ROWS) {
            // SAFETY: this task's own block of the output, whole rows of `x`.
            unsafe {
                let target = Target {
                    c: self.out.at(row, col),
                    stride: self.out.stride(),
                    cols: L::COLS.min(self.cols.end - col),
                    keep: depth.start > 0 || job.accumulate,
                    bias,
                };
                let a = job.x.data.as_ptr().add(row * stride + depth.start);
                let count = L::ROWS.min(rows.end - row);
                let operands = Operands {
                    k: depth.len(),
                    a,
                    a_stride: stride,
                    b: packed.as_ptr(),
                    b_stride: L::COLS,
                };
                L::tile(count, operands, target);
            }
        }
    }
}
