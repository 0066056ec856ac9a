//! Both sides wide, with the tile unit of newer Xeons.

use std::arch::x86_64::*;
use std::ops::Range;

use super::Outer;
use crate::engine::cpu::Team;
use crate::engine::view::{MatMut, Parts};
use crate::kernels::cpu::amx::{
    SIDE, TILE, TILE_DEPTH, Target, configure, multiply_tiles, release, split_pairs,
};
use crate::kernels::cpu::matmul::grains;
use crate::kernels::cpu::scratch::{take, with_scratch};
use crate::kernels::cpu::tile::transposed;
use crate::kernels::cpu::unpack::first;

/// The narrower side from which this is faster than fused multiply-adds.
pub const LEAST: usize = 48;

/// Depth of a panel. A panel's 32 columns fill two thirds of a 48 KiB first-level cache.
const DEPTH: usize = 256;
/// Depth up to which `dy` is split at once.
const SPAN: usize = 8 * DEPTH;
/// Splitting `x` costs about as much as multiplying it with this many columns of `dy`.
const EXPANSION: usize = 60;
/// Columns that a task may have.
const WIDTHS: [usize; 5] = [192, 128, 96, 64, 32];

pub fn run(job: &Outer<'_>, team: &Team, out: &mut MatMut<'_>) {
    let (rows, cols) = (out.rows, out.cols);
    let (row_grain, col_grain) = grains(rows, cols, team.threads(), SIDE, EXPANSION, &WIDTHS);
    let row_parts = rows.div_ceil(row_grain);
    let row_tiles = rows.div_ceil(SIDE) * 2;
    let parts = out.parts();
    for start in (0..job.x.rows).step_by(SPAN) {
        let span = start..job.x.rows.min(start + SPAN);
        // For each 16 columns of `dy`: for each piece of depth a tile of high and one of low parts.
        let strip = span.len().div_ceil(TILE_DEPTH) * 2 * TILE;
        with_scratch(row_tiles * strip, |split| {
            let mut split = MatMut::new(split, row_tiles, strip, strip);
            team.rows(&mut split, 1, |i, strip| {
                // SAFETY: chosen on AMX; `Outer::run` checked the extent of `dy`.
                unsafe { split_columns(job, &span, i * 16, strip) }
            });
            let split: &[f32] = split.data_mut();
            team.run(row_parts * cols.div_ceil(col_grain), |task| {
                let (row, col) = (task % row_parts * row_grain, task / row_parts * col_grain);
                let block = Block {
                    job,
                    dy: split,
                    strip,
                    span: span.clone(),
                    out: parts,
                    rows: row..rows.min(row + row_grain),
                    cols: col..cols.min(col + col_grain),
                };
                // SAFETY: chosen on AMX; each task has its own block of the output.
                unsafe { block.run() }
            });
        });
    }
}

/// Splits 16 columns of `dy` into tiles whose rows they are; columns that are not there are zeros.
///
/// # Safety
/// The processor must have AVX-512 F, BW and BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn split_columns(job: &Outer<'_>, span: &Range<usize>, col: usize, strip: &mut [f32]) {
    let dy = &job.dy;
    let mask = first(dy.cols.saturating_sub(col).min(16));
    for (tiles, row) in strip
        .chunks_exact_mut(2 * TILE)
        .zip(span.clone().step_by(TILE_DEPTH))
    {
        let from = dy.data.as_ptr().wrapping_add(row * dy.stride + col);
        // SAFETY: the rows and columns are there or masked out; two tiles by the chunk.
        unsafe {
            let rows = TILE_DEPTH.min(span.end - row);
            split_pairs::<2>(from, dy.stride, rows, mask, tiles.as_mut_ptr());
        }
        for tile in tiles.chunks_exact_mut(TILE) {
            // SAFETY: 16 rows of 16 floats' worth by the chunk.
            unsafe {
                let at = tile.as_mut_ptr();
                let rows = std::array::from_fn(|i| _mm512_loadu_ps(at.add(16 * i)));
                for (i, row) in transposed(rows).into_iter().enumerate() {
                    _mm512_storeu_ps(at.add(16 * i), row);
                }
            }
        }
    }
}

/// One task: some rows and columns of the output.
struct Block<'a> {
    job: &'a Outer<'a>,
    /// The rows `span` of `dy`, split.
    dy: &'a [f32],
    /// Floats' worth of 16 columns of `dy`.
    strip: usize,
    span: Range<usize>,
    out: Parts<'a>,
    rows: Range<usize>,
    cols: Range<usize>,
}

impl Block<'_> {
    /// # Safety
    /// As the function `run` says.
    unsafe fn run(&self) {
        with_scratch(SIDE * DEPTH + SIDE * SIDE, |mut scratch| {
            let packed = take(&mut scratch, SIDE * DEPTH);
            let sums = take(&mut scratch, SIDE * SIDE);
            // SAFETY: this path is chosen only where the tile unit may be used.
            unsafe { configure() };
            for start in self.span.clone().step_by(DEPTH) {
                let depth = start..self.span.end.min(start + DEPTH);
                for col in self.cols.clone().step_by(SIDE) {
                    // SAFETY: the caller's.
                    unsafe {
                        self.pack(&depth, col, packed);
                        self.multiply(&depth, col, packed, sums);
                    }
                }
            }
            // SAFETY: as above.
            unsafe { release() };
        });
    }

    /// Splits 32 columns of `x` into tiles, in the order they are used: for each piece of depth the
    /// high and low tiles of the first 16 columns, then of the second.
    ///
    /// # Safety
    /// As the function `run` says.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn pack(&self, depth: &Range<usize>, col: usize, packed: &mut [f32]) {
        let x = &self.job.x;
        let pieces = packed.chunks_exact_mut(4 * TILE);
        for (tiles, row) in pieces.zip(depth.clone().step_by(TILE_DEPTH)) {
            let rows = TILE_DEPTH.min(depth.end - row);
            for (half, tiles) in tiles.chunks_exact_mut(2 * TILE).enumerate() {
                let col = col + 16 * half;
                let mask = first(self.cols.end.saturating_sub(col).min(16));
                let from = x.data.as_ptr().wrapping_add(row * x.stride + col);
                // SAFETY: the rows and columns are there or masked out; two tiles by the chunk.
                unsafe { split_pairs::<2>(from, x.stride, rows, mask, tiles.as_mut_ptr()) };
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
                out: self.out,
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
