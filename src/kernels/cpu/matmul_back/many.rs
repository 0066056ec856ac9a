//! Panels of the weight, expanded and multiplied in tiles.

use std::ops::Range;

use super::{MatmulBack, widths};
use crate::engine::cpu::Team;
use crate::engine::view::{MatMut, Parts};
use crate::kernels::cpu::matmul::{depth, grains};
use crate::kernels::cpu::scratch::with_scratch;
use crate::kernels::cpu::tile::{Level, Operands, Target};

/// Columns expanded at once: the longest block.
const STRIPE: usize = 256;

/// # Safety
/// `MatmulBack::run` must have checked every extent, and the processor have the level.
pub unsafe fn run<L: Level>(job: &MatmulBack<'_>, team: &Team, dx: &mut MatMut<'_>) {
    let (rows, cols) = (dx.rows, dx.cols);
    let (widths, threads) = (widths(job.weight.dtype), team.threads());
    let (row_grain, col_grain) = grains(rows, cols, threads, L::ROWS, L::EXPANSION[0], widths);
    let row_parts = rows.div_ceil(row_grain);
    let parts = dx.parts();
    team.run(row_parts * cols.div_ceil(col_grain), |task| {
        let (row, col) = (task % row_parts * row_grain, task / row_parts * col_grain);
        let block = Block {
            job,
            dx: parts,
            rows: row..rows.min(row + row_grain),
            cols: col..cols.min(col + col_grain),
        };
        // SAFETY: the caller's; each task has its own block of the output.
        unsafe { block.run::<L>() }
    });
}

/// One task: some rows and columns of the output.
struct Block<'a> {
    job: &'a MatmulBack<'a>,
    dx: Parts<'a>,
    rows: Range<usize>,
    cols: Range<usize>,
}

impl Block<'_> {
    /// # Safety
    /// As the function `run` says.
    unsafe fn run<L: Level>(&self) {
        let most = depth::<L>(self.job.weight.rows, 1);
        let panels = STRIPE.min(self.cols.len()).div_ceil(L::COLS);
        let panel = L::COLS * most;
        with_scratch(panels * panel + STRIPE, |scratch| {
            let (packed, dense) = scratch.split_at_mut(panels * panel);
            for start in (0..self.job.weight.rows).step_by(most) {
                let depth = start..self.job.weight.rows.min(start + most);
                for col in self.cols.clone().step_by(STRIPE) {
                    let cols = col..self.cols.end.min(col + STRIPE);
                    // SAFETY: the caller's.
                    unsafe { self.pack::<L>(&depth, &cols, (packed, panel), dense) };
                    for row in self.rows.clone().step_by(L::TOGETHER) {
                        let rows = row..self.rows.end.min(row.saturating_add(L::TOGETHER));
                        let panels = packed.chunks_exact(panel);
                        for (panel, col) in panels.zip(cols.clone().step_by(L::COLS)) {
                            // SAFETY: the caller's.
                            unsafe { self.multiply::<L>(rows.clone(), &depth, col, panel) };
                        }
                    }
                }
            }
        });
    }

    /// Expands some columns of the weight's rows `depth` into panels: `panel[k * COLS + n]`.
    ///
    /// # Safety
    /// As the function `run` says.
    unsafe fn pack<L: Level>(
        &self,
        depth: &Range<usize>,
        cols: &Range<usize>,
        (packed, panel): (&mut [f32], usize),
        dense: &mut [f32],
    ) {
        let weight = &self.job.weight;
        let byte = |k: usize| weight.dtype.row_bytes(k).unwrap_or(0);
        let bytes = byte(cols.start)..byte(cols.end);
        let dense = &mut dense[..cols.len().next_multiple_of(L::COLS)];
        dense[cols.len()..].fill(0.0);
        for (k, row) in depth.clone().enumerate() {
            let from = &weight.row(row)[bytes.clone()];
            // SAFETY: the caller's; the columns start on a block and end on one or with the row.
            unsafe { L::expand(weight.dtype, from, &mut dense[..cols.len()]) };
            let panels = packed.chunks_exact_mut(panel);
            for (panel, dense) in panels.zip(dense.chunks_exact(L::COLS)) {
                panel[k * L::COLS..][..L::COLS].copy_from_slice(dense);
            }
        }
    }

    /// # Safety
    /// As the function `run` says.
    unsafe fn multiply<L: Level>(
        &self,
        rows: Range<usize>,
        depth: &Range<usize>,
        col: usize,
        packed: &[f32],
    ) {
        let dy = &self.job.dy;
        for row in rows.clone().step_by(L::ROWS) {
            let count = L::ROWS.min(rows.end - row);
            // SAFETY: this task's own block of the output, whole rows of `dy`.
            unsafe {
                let a = dy.data.as_ptr().add(row * dy.stride + depth.start);
                let target = Target {
                    c: self.dx.at(row, col),
                    stride: self.dx.stride(),
                    cols: L::COLS.min(self.cols.end - col),
                    keep: depth.start > 0 || self.job.accumulate,
                    bias: std::ptr::null(),
                };
                let operands = Operands {
                    k: depth.len(),
                    a,
                    a_stride: dy.stride,
                    b: packed.as_ptr(),
                    b_stride: L::COLS,
                };
                L::tile(count, operands, target);
            }
        }
    }
}
