//! Many rows with the tile unit of newer Xeons.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{MatmulBack, expand, widths};
use crate::engine::DType;
use crate::engine::cpu::Team;
use crate::engine::view::{MatMut, Parts};
use crate::kernels::cpu::amx::{
    SIDE, TILE, TILE_DEPTH, Target, configure, multiply_tiles, release, split_pair, split_rows,
};
use crate::kernels::cpu::matmul::grains;
use crate::kernels::cpu::scratch::{take, with_scratch};
use crate::kernels::cpu::unpack::{Unpack, with_format};

/// Fewer rows than this do not repay the splitting.
pub const LEAST_ROWS: usize = 24;

/// Depth of a panel. A panel's 32 columns fill two thirds of a 48 KiB first-level cache.
const DEPTH: usize = 256;
/// Depth up to which `dy` is split at once: the head is as deep as the vocabulary is large.
const SPAN: usize = 8 * DEPTH;
/// Columns expanded at once: the longest block.
const STRIPE: usize = 256;
/// Floats' worth of a panel of 32 columns.
const PANEL: usize = SIDE * DEPTH;
/// Expanding and splitting a weight costs about as much as multiplying it with this many rows.
const EXPANSION: usize = 100;

pub fn run(job: &MatmulBack<'_>, team: &Team, dx: &mut MatMut<'_>) {
    let (rows, cols) = (dx.rows, dx.cols);
    let widths = widths(job.weight.dtype);
    let (row_grain, col_grain) = grains(rows, cols, team.threads(), SIDE, EXPANSION, widths);
    let row_parts = rows.div_ceil(row_grain);
    let row_tiles = rows.div_ceil(SIDE) * 2;
    let parts = dx.parts();
    for start in (0..job.weight.rows).step_by(SPAN) {
        let mut dy = job.dy;
        dy.cols = SPAN.min(job.weight.rows - start);
        dy.data = &dy.data[start..];
        // For each 16 rows: for each piece of depth a tile of high and a tile of low parts.
        let strip = dy.cols.div_ceil(TILE_DEPTH) * 2 * TILE;
        with_scratch(row_tiles * strip, |split| {
            let mut split = MatMut::new(split, row_tiles, strip, strip);
            team.rows(&mut split, 1, |i, strip| {
                // SAFETY: chosen on AVX-512; `MatmulBack::run` checked the extent of `dy`.
                unsafe { split_rows::<2>(&dy, i * 16, strip) }
            });
            let split: &[f32] = split.data_mut();
            team.run(row_parts * cols.div_ceil(col_grain), |task| {
                let (row, col) = (task % row_parts * row_grain, task / row_parts * col_grain);
                let block = Block {
                    job,
                    dy: split,
                    strip,
                    span: start..start + dy.cols,
                    dx: parts,
                    rows: row..rows.min(row + row_grain),
                    cols: col..cols.min(col + col_grain),
                };
                // SAFETY: `MatmulBack::run` checked every extent and chose this path on AMX; each
                // task has its own block of the output.
                unsafe { with_format!(job.weight.dtype, U => block.run::<U>()) }
            });
        });
    }
}

/// One task: some rows and columns of the output.
struct Block<'a> {
    job: &'a MatmulBack<'a>,
    /// The columns `span` of `dy`, split.
    dy: &'a [f32],
    /// Floats' worth of 16 rows of `dy`.
    strip: usize,
    /// Rows of the weight.
    span: Range<usize>,
    dx: Parts<'a>,
    rows: Range<usize>,
    cols: Range<usize>,
}

impl Block<'_> {
    /// # Safety
    /// As the function `run` says.
    unsafe fn run<U: Unpack>(&self) {
        let panels = STRIPE.min(self.cols.len()).div_ceil(SIDE);
        with_scratch(panels * PANEL + 2 * STRIPE + SIDE * SIDE, |mut scratch| {
            let packed = take(&mut scratch, panels * PANEL);
            let dense = take(&mut scratch, 2 * STRIPE);
            let sums = take(&mut scratch, SIDE * SIDE);
            // SAFETY: this path is chosen only where the tile unit may be used.
            unsafe { configure() };
            for start in self.span.clone().step_by(DEPTH) {
                let depth = start..self.span.end.min(start + DEPTH);
                for col in self.cols.clone().step_by(STRIPE) {
                    let cols = col..self.cols.end.min(col + STRIPE);
                    // SAFETY: the caller's.
                    unsafe { self.pack::<U>(&depth, &cols, packed, dense) };
                    for (panel, col) in packed.chunks_exact(PANEL).zip(cols.step_by(SIDE)) {
                        // SAFETY: the caller's.
                        unsafe { self.multiply(&depth, col, panel, sums) };
                    }
                }
            }
            // SAFETY: as above.
            unsafe { release() };
        });
    }

    /// Expands and splits some columns of the weight's rows `depth` into panels of 32 columns: for
    /// each piece of depth the high and low tiles of the first 16 columns, then of the second.
    ///
    /// # Safety
    /// As the function `run` says.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,f16c,fma")]
    unsafe fn pack<U: Unpack>(
        &self,
        depth: &Range<usize>,
        cols: &Range<usize>,
        packed: &mut [f32],
        dense: &mut [f32],
    ) {
        let (even, odd) = dense.split_at_mut(STRIPE);
        let padded = cols.len().next_multiple_of(SIDE);
        let end = depth.start + depth.len().next_multiple_of(TILE_DEPTH);
        for (pair, row) in (depth.start..end).step_by(2).enumerate() {
            for (row, dense) in [(row, &mut *even), (row + 1, &mut *odd)] {
                if row < depth.end {
                    // SAFETY: the columns start on a block and end on one or with the row.
                    unsafe { expand::<U>(&self.job.weight, row, cols, &mut dense[..padded]) };
                } else {
                    dense[..padded].fill(0.0);
                }
            }
            // Sixteen pairs make a tile.
            let within = pair / 16 * 4 * TILE + pair % 16 * 16;
            for at in (0..padded).step_by(16) {
                let (panel, half) = (at / SIDE, at % SIDE / 16);
                let to = &mut packed[panel * PANEL + 2 * half * TILE + within..][..TILE + 16];
                // SAFETY: 16 floats of either row, and of either tile by the slice.
                unsafe {
                    let even = _mm512_loadu_ps(even[at..at + 16].as_ptr());
                    let odd = _mm512_loadu_ps(odd[at..at + 16].as_ptr());
                    let [high, low] = split_pair(even, odd);
                    _mm512_storeu_si512(to.as_mut_ptr().cast(), high);
                    _mm512_storeu_si512(to[TILE..].as_mut_ptr().cast(), low);
                }
            }
        }
    }

    /// # Safety
    /// As the function `run` says, with the tile unit configured.
    unsafe fn multiply(&self, depth: &Range<usize>, col: usize, packed: &[f32], sums: &mut [f32]) {
        let tiles = depth.len().div_ceil(TILE_DEPTH);
        for row in self.rows.clone().step_by(SIDE) {
            let at =
                row / 16 * self.strip + (depth.start - self.span.start) / TILE_DEPTH * 2 * TILE;
            let upper = &self.dy[at..][..tiles * 2 * TILE];
            let lower = &self.dy[at + self.strip..][..tiles * 2 * TILE];
            assert!(packed.len() >= tiles * 4 * TILE && sums.len() >= SIDE * SIDE);
            let target = Target {
                out: self.dx,
                rows: row..self.rows.end.min(row + SIDE),
                cols: col..self.cols.end.min(col + SIDE),
                bias: None,
                keep: depth.start > 0 || self.job.accumulate,
            };
            // SAFETY: the extents are checked above; this task's own block.
            unsafe {
                multiply_tiles(tiles, upper.as_ptr(), lower.as_ptr(), packed.as_ptr(), sums);
                target.store(sums);
            }
        }
    }
}
