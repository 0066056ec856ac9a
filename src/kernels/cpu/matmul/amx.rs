//! Many rows with the tile unit of newer Xeons.

use std::arch::x86_64::*;
use std::ops::Range;

use super::many::grains;
use super::{Matmul, same_x};
use crate::engine::DType;
use crate::engine::cpu::Team;
use crate::engine::view::{MatMut, Parts};
use crate::kernels::cpu::amx::{
    SIDE, TILE, TILE_DEPTH, Target, configure, multiply_high_tiles, multiply_tiles, release,
    split_columns, split_rows,
};
use crate::kernels::cpu::scratch::{take, with_scratch};
use crate::kernels::cpu::unpack::{Unpack, unpack_row, with_format};

/// Fewer rows than this do not repay the splitting.
pub const LEAST_ROWS: usize = 24;

/// Depth of a panel of two parts, which every block of a quantised row divides.
const DEPTH: usize = 256;
/// The most of one part: up to this, sums are written once.
const MOST_DEPTH: usize = 640;
/// Columns that a task may have. Their panels of one depth stay in the second-level cache while the rows
/// pass by.
const WIDTHS: [usize; 6] = [256, 192, 128, 96, 64, 32];
/// Expanding and splitting a weight costs about as much as multiplying it with this many rows.
const EXPANSION: usize = 200;

/// Multiplies the same rows with several weights: both parts of either factor, or of one of the `PARTS` the
/// high ones alone.
pub fn run<const PARTS: usize>(jobs: &[Matmul<'_>], team: &Team, outs: &mut [MatMut<'_>]) {
    let Some(Matmul { x, .. }) = jobs.first() else {
        return;
    };
    assert!(jobs.len() == outs.len() && jobs.iter().all(|job| same_x(job, &jobs[0])));
    let row_tiles = x.rows.div_ceil(SIDE) * 2;
    // For each 16 rows: for each piece of depth a tile of each part.
    let strip = x.cols.div_ceil(TILE_DEPTH) * PARTS * TILE;
    with_scratch(row_tiles * strip, |split| {
        let mut rows = MatMut::new(split, row_tiles, strip, strip);
        team.rows(&mut rows, 1, |i, strip| {
            // SAFETY: chosen on AVX-512; the caller checked the extent of `x`.
            unsafe { split_rows::<PARTS>(x, i * 16, strip) }
        });
        let works = jobs.iter().zip(outs);
        let works = works.map(|(job, out)| Work::<PARTS>::new(job, split, out.parts(), team));
        let works: Vec<_> = works.collect();
        team.run(works.iter().map(Work::tasks).sum(), |mut task| {
            for work in &works {
                if task < work.tasks() {
                    return work.run(task);
                }
                task -= work.tasks();
            }
        });
    });
}

/// One product, cut into tasks.
struct Work<'a, const PARTS: usize> {
    job: &'a Matmul<'a>,
    x: &'a [f32],
    out: Parts<'a>,
    /// Rows and columns of a task.
    grain: (usize, usize),
}

impl<'a, const PARTS: usize> Work<'a, PARTS> {
    fn new(job: &'a Matmul<'a>, x: &'a [f32], out: Parts<'a>, team: &Team) -> Self {
        let (threads, expansion) = (team.threads(), EXPANSION * (3 - PARTS));
        let grain = grains(out.rows(), out.cols(), threads, SIDE, expansion, &WIDTHS);
        Work { job, x, out, grain }
    }

    fn row_parts(&self) -> usize {
        self.out.rows().div_ceil(self.grain.0)
    }

    fn tasks(&self) -> usize {
        self.row_parts() * self.out.cols().div_ceil(self.grain.1)
    }

    fn run(&self, task: usize) {
        let row = task % self.row_parts() * self.grain.0;
        let col = task / self.row_parts() * self.grain.1;
        let block = Block::<PARTS> {
            job: self.job,
            x: self.x,
            strip: self.job.x.cols.div_ceil(TILE_DEPTH) * PARTS * TILE,
            out: self.out,
            rows: row..self.out.rows().min(row + self.grain.0),
            cols: col..self.out.cols().min(col + self.grain.1),
        };
        // SAFETY: the caller of `run` checked every extent and chose this path on AMX; each task has
        // its own block of the output.
        unsafe { with_format!(self.job.weight.dtype, U => block.run::<U>()) }
    }
}

/// One task: some rows and columns of the output.
struct Block<'a, const PARTS: usize> {
    job: &'a Matmul<'a>,
    x: &'a [f32],
    /// Floats' worth of 16 rows of `x`.
    strip: usize,
    out: Parts<'a>,
    rows: Range<usize>,
    cols: Range<usize>,
}

impl<const PARTS: usize> Block<'_, PARTS> {
    /// Depth of a panel.
    fn depth(&self) -> usize {
        match self.job.x.cols {
            whole if PARTS == 1 && whole <= MOST_DEPTH => whole.next_multiple_of(TILE_DEPTH),
            _ => 2 * DEPTH / PARTS,
        }
    }

    /// # Safety
    /// As the function `run` says.
    unsafe fn run<U: Unpack>(&self) {
        let most = self.depth();
        let (panel, dense) = (SIDE * most * PARTS / 2, 16 * most);
        let panels = self.cols.len().div_ceil(SIDE);
        with_scratch(panels * panel + dense + SIDE * SIDE, |mut scratch| {
            let packed = take(&mut scratch, panels * panel);
            let dense = take(&mut scratch, dense);
            let sums = take(&mut scratch, SIDE * SIDE);
            // SAFETY: this path is chosen only where the tile unit may be used.
            unsafe { configure() };
            for start in (0..self.job.x.cols).step_by(most) {
                let depth = most.min(self.job.x.cols - start);
                let cols = || self.cols.clone().step_by(SIDE);
                for (col, packed) in cols().zip(packed.chunks_exact_mut(panel)) {
                    // SAFETY: the caller's.
                    unsafe { self.pack::<U>(col, start, depth, packed, dense) };
                }
                for row in self.rows.clone().step_by(SIDE) {
                    for (col, packed) in cols().zip(packed.chunks_exact(panel)) {
                        // SAFETY: the caller's.
                        unsafe { self.multiply((row, col), start, depth, packed, sums) };
                    }
                }
            }
            // SAFETY: as above.
            unsafe { release() };
        });
    }

    /// Expands 32 columns of weights and splits them into tiles, in the order they are used: for
    /// each piece of depth a tile of each part of the first 16 columns, then of the second.
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
                let dense = &mut dense[i * padded..][..padded];
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
                let tiles = &mut packed[(2 * t + half) * PARTS * TILE..][..PARTS * TILE];
                let column = |i: usize| {
                    let from = &dense[i * padded + t * TILE_DEPTH..][..TILE_DEPTH];
                    // SAFETY: 32 floats by the slice.
                    unsafe {
                        (
                            _mm512_loadu_ps(from.as_ptr()),
                            _mm512_loadu_ps(from.as_ptr().add(16)),
                        )
                    }
                };
                split_columns::<PARTS>(column, tiles);
            }
        }
    }

    /// # Safety
    /// As the function `run` says, with the tile unit configured.
    unsafe fn multiply(
        &self,
        (row, col): (usize, usize),
        start: usize,
        depth: usize,
        packed: &[f32],
        sums: &mut [f32],
    ) {
        let tiles = depth.div_ceil(TILE_DEPTH);
        let cols = col..self.cols.end.min(col + SIDE);
        let bias = self.job.bias.filter(|_| start == 0);
        let target = Target {
            out: self.out,
            rows: row..self.rows.end.min(row + SIDE),
            cols: cols.clone(),
            bias: bias.map(|bias| &bias[cols]),
            keep: start > 0 || self.job.accumulate,
        };
        let len = tiles * PARTS * TILE;
        let at = row / 16 * self.strip + start / TILE_DEPTH * PARTS * TILE;
        let upper = self.x[at..][..len].as_ptr();
        let lower = self.x[at + self.strip..][..len].as_ptr();
        assert!(packed.len() >= 2 * len && sums.len() >= SIDE * SIDE);
        // SAFETY: the extents are checked above.
        unsafe {
            match PARTS {
                1 => {
                    let weights = (packed.as_ptr(), 2 * TILE);
                    multiply_high_tiles(tiles, upper, lower, weights, sums);
                }
                _ => multiply_tiles(tiles, upper, lower, packed.as_ptr(), sums),
            }
            target.store(sums);
        }
    }
}
