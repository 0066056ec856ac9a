//! AVX-512: panels of the weight, expanded and multiplied in tiles.

use std::ops::Range;

use super::{MatmulBack, expand, widths};
use crate::engine::DType;
use crate::engine::cpu::Team;
use crate::engine::view::{MatMut, Parts};
use crate::kernels::cpu::matmul::grains;
use crate::kernels::cpu::scratch::with_scratch;
use crate::kernels::cpu::tile::{TILE_COLS, TILE_ROWS, Target, tile};
use crate::kernels::cpu::unpack::{Unpack, with_format};

/// Depth of a panel: 256 rows of 32 columns fill two thirds of a 48 KiB first-level cache.
const DEPTH: usize = 256;
/// Columns expanded at once: the longest block.
const STRIPE: usize = 256;
/// Floats of a panel.
const PANEL: usize = TILE_COLS * DEPTH;

pub fn run(job: &MatmulBack<'_>, team: &Team, dx: &mut MatMut<'_>) {
    let (rows, cols) = (dx.rows, dx.cols);
    let widths = widths(job.weight.dtype);
    // Expanding a weight costs about as much as multiplying it with 12 rows.
    let (row_grain, col_grain) = grains(rows, cols, team.threads(), TILE_ROWS, 12, widths);
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
        // SAFETY: `MatmulBack::run` checked every extent and chose this path on AVX-512; each task
        // has its own block of the output.
        unsafe { with_format!(job.weight.dtype, U => block.run::<U>()) }
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
    unsafe fn run<U: Unpack>(&self) {
        let panels = STRIPE.min(self.cols.len()).div_ceil(TILE_COLS);
        with_scratch(panels * PANEL + STRIPE, |scratch| {
            let (packed, dense) = scratch.split_at_mut(panels * PANEL);
            for start in (0..self.job.weight.rows).step_by(DEPTH) {
                let depth = start..self.job.weight.rows.min(start + DEPTH);
                for col in self.cols.clone().step_by(STRIPE) {
                    let cols = col..self.cols.end.min(col + STRIPE);
                    // SAFETY: the caller's.
                    unsafe { self.pack::<U>(&depth, &cols, packed, dense) };
                    for (panel, col) in packed.chunks_exact(PANEL).zip(cols.step_by(TILE_COLS)) {
                        // SAFETY: the caller's.
                        unsafe { self.multiply(&depth, col, panel) };
                    }
                }
            }
        });
    }

    /// Expands some columns of the weight's rows `depth` into panels: `packed[k * TILE_COLS + n]`.
    ///
    /// # Safety
    /// As the function `run` says.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,f16c,fma")]
    unsafe fn pack<U: Unpack>(
        &self,
        depth: &Range<usize>,
        cols: &Range<usize>,
        packed: &mut [f32],
        dense: &mut [f32],
    ) {
        let dense = &mut dense[..cols.len().next_multiple_of(TILE_COLS)];
        for (k, row) in depth.clone().enumerate() {
            // SAFETY: the columns start on a block and end on one or with the row.
            unsafe { expand::<U>(&self.job.weight, row, cols, dense) };
            for (panel, dense) in packed
                .chunks_exact_mut(PANEL)
                .zip(dense.chunks_exact(TILE_COLS))
            {
                panel[k * TILE_COLS..][..TILE_COLS].copy_from_slice(dense);
            }
        }
    }

    /// # Safety
    /// As the function `run` says.
    unsafe fn multiply(&self, depth: &Range<usize>, col: usize, packed: &[f32]) {
        let dy = &self.job.dy;
        let mut row = self.rows.start;
        while row < self.rows.end {
            let rows = TILE_ROWS.min(self.rows.end - row);
            let a = dy.row(row)[depth.start..].as_ptr();
            // SAFETY: this task's own block of the output, whole rows of `dy`.
            unsafe {
                let target = Target {
                    c: self.dx.at(row, col),
                    stride: self.dx.stride(),
                    cols: TILE_COLS.min(self.cols.end - col),
                    keep: depth.start > 0 || self.job.accumulate,
                    bias: std::ptr::null(),
                };
                let b = packed.as_ptr();
                tile(rows, depth.len(), a, dy.stride, b, TILE_COLS, target);
            }
            row += rows;
        }
    }
}
