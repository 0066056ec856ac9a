//! Many rows with the tile unit of newer Xeons.

use std::arch::x86_64::*;
use std::ops::Range;

use super::Matmul;
use super::many::{WIDTHS, grains};
use crate::engine::DType;
use crate::engine::cpu::Team;
use crate::engine::view::{MatMut, Parts};
use crate::kernels::cpu::amx::{
    SIDE, TILE, TILE_DEPTH, Target, configure, multiply_tiles, release, split, split_rows,
};
use crate::kernels::cpu::scratch::{take, with_scratch};
use crate::kernels::cpu::tile::transposed;
use crate::kernels::cpu::unpack::{Unpack, unpack_row, with_format};

/// Fewer rows than this do not repay the splitting.
pub const LEAST_ROWS: usize = 24;

/// Depth of a panel. A panel's 32 columns fill two thirds of a 48 KiB first-level cache.
const DEPTH: usize = 256;
/// Expanding and splitting a weight costs about as much as multiplying it with this many rows.
const EXPANSION: usize = 200;

pub fn run(job: &Matmul<'_>, team: &Team, out: &mut MatMut<'_>) {
    let (rows, cols, depth) = (out.rows, out.cols, job.x.cols);
    let (row_grain, col_grain) = grains(rows, cols, team.threads(), SIDE, EXPANSION, &WIDTHS);
    let row_parts = rows.div_ceil(row_grain);
    let row_tiles = rows.div_ceil(SIDE) * 2;
    // For each 16 rows: for each piece of depth a tile of high parts and a tile of low parts.
    let tiles = depth.div_ceil(TILE_DEPTH);
    let strip = tiles * 2 * TILE;
    let parts = out.parts();
    with_scratch(row_tiles * strip, |x| {
        let mut x = MatMut::new(x, row_tiles, strip, strip);
        team.rows(&mut x, 1, |i, strip| {
            // SAFETY: chosen on AVX-512; `Matmul::run` checked the extent of `x`.
            unsafe { split_rows(&job.x, i * 16, strip) }
        });
        let x: &[f32] = x.data_mut();
        team.run(row_parts * cols.div_ceil(col_grain), |task| {
            let (row, col) = (task % row_parts * row_grain, task / row_parts * col_grain);
            let block = Block {
                job,
                x,
                strip,
                out: parts,
                rows: row..rows.min(row + row_grain),
                cols: col..cols.min(col + col_grain),
            };
            // SAFETY: `Matmul::run` checked every extent and chose this path on AMX; each task has
            // its own block of the output.
            unsafe { with_format!(job.weight.dtype, U => block.run::<U>()) }
        });
    });
}

/// One task: some rows and columns of the output.
struct Block<'a> {
    job: &'a Matmul<'a>,
    x: &'a [f32],
    /// Floats' worth of 16 rows of `x`.
    strip: usize,
    out: Parts<'a>,
    rows: Range<usize>,
    cols: Range<usize>,
}

impl Block<'_> {
    /// # Safety
    /// As the function `run` says.
    unsafe fn run<U: Unpack>(&self) {
        const PANEL: usize = SIDE * DEPTH;
        with_scratch(PANEL + 16 * DEPTH + SIDE * SIDE, |mut scratch| {
            let packed = take(&mut scratch, PANEL);
            let dense = take(&mut scratch, 16 * DEPTH);
            let sums = take(&mut scratch, SIDE * SIDE);
            // SAFETY: this path is chosen only where the tile unit may be used.
            unsafe { configure() };
            for start in (0..self.job.x.cols).step_by(DEPTH) {
                let depth = DEPTH.min(self.job.x.cols - start);
                for col in self.cols.clone().step_by(SIDE) {
                    // SAFETY: the caller's.
                    unsafe {
                        self.pack::<U>(col, start, depth, packed, dense);
                        self.multiply(col, start, depth, packed, sums);
                    }
                }
            }
            // SAFETY: as above.
            unsafe { release() };
        });
    }

    /// Expands 32 columns of weights and splits them into tiles, in the order they are used: for
    /// each piece of depth the high and low tiles of the first 16 columns, then of the second.
    ///
    /// # Safety
    /// As the function `run` says.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,f16c,fma")]
    unsafe fn pack<U: Unpack>(
        &self,
        col: usize,
        start: usize,
        depth: usize,
        packed: &mut [f32],
        dense: &mut [f32],
    ) {
        let weight = &self.job.weight;
        let padded = depth.next_multiple_of(TILE_DEPTH);
        for half in 0..2 {
            for i in 0..16 {
                let n = col + 16 * half + i;
                let dense = &mut dense[i * DEPTH..][..padded];
                let (there, beyond) = dense.split_at_mut(depth);
                beyond.fill(0.0);
                if n < self.cols.end {
                    // SAFETY: `start` is a whole number of blocks, and the row goes on for `depth`.
                    unsafe {
                        let from = weight.row(n).as_ptr().add(start / U::LEN * U::BYTES);
                        unpack_row::<U>(from, there);
                    }
                } else {
                    there.fill(0.0);
                }
            }
            for t in 0..padded / TILE_DEPTH {
                let tiles = &mut packed[(2 * t + half) * 2 * TILE..][..2 * TILE];
                let (high, low) = tiles.split_at_mut(TILE);
                let mut parts = [[_mm512_setzero_ps(); 16]; 2];
                for i in 0..16 {
                    let from = &dense[i * DEPTH + t * TILE_DEPTH..][..TILE_DEPTH];
                    // SAFETY: 32 floats by the slice.
                    let (a, b) = unsafe {
                        (
                            _mm512_loadu_ps(from.as_ptr()),
                            _mm512_loadu_ps(from.as_ptr().add(16)),
                        )
                    };
                    let [high, low] = split(a, b);
                    parts[0][i] = _mm512_castsi512_ps(high);
                    parts[1][i] = _mm512_castsi512_ps(low);
                }
                // A pair of neighbours along the depth moves as one 32-bit element.
                for (tile, part) in [high, low].into_iter().zip(parts) {
                    for (to, row) in tile.chunks_exact_mut(16).zip(transposed(part)) {
                        // SAFETY: 16 floats by the chunk.
                        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), row) };
                    }
                }
            }
        }
    }

    /// # Safety
    /// As the function `run` says, with the tile unit configured.
    unsafe fn multiply(
        &self,
        col: usize,
        start: usize,
        depth: usize,
        packed: &[f32],
        sums: &mut [f32],
    ) {
        let tiles = depth.div_ceil(TILE_DEPTH);
        let cols = col..self.cols.end.min(col + SIDE);
        let bias = self.job.bias.filter(|_| start == 0);
        let target = |row| Target {
            out: self.out,
            rows: row..self.rows.end.min(row + SIDE),
            cols: cols.clone(),
            bias: bias.map(|bias| &bias[cols.clone()]),
            keep: start > 0 || self.job.accumulate,
        };
        for row in self.rows.clone().step_by(SIDE) {
            let at = row / 16 * self.strip + start / TILE_DEPTH * 2 * TILE;
            let upper = &self.x[at..][..tiles * 2 * TILE];
            let lower = &self.x[at + self.strip..][..tiles * 2 * TILE];
            assert!(packed.len() >= tiles * 4 * TILE && sums.len() >= SIDE * SIDE);
            // SAFETY: the extents are checked above.
            unsafe {
                multiply_tiles(tiles, upper.as_ptr(), lower.as_ptr(), packed.as_ptr(), sums);
                target(row).store(sums);
            }
        }
    }
}
