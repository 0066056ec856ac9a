//! Many rows of rough factors with AVX2: rows of `x` in bytes, 32 with a scale, times levels of
//! quantised weights in unsigned bytes.
//!
//! A weight is `scale * level + least`, so 32 products are `scale * (levels . bytes) * x's scale` and
//! `least` times the sum of the bytes. The products of bytes are summed in 16 bits for as long as
//! they fit.

#[cfg(test)]
mod tests;
mod tile;

use std::arch::x86_64::*;
use std::ops::Range;

use super::avx2::{levels, weights};
use super::cut::{Cut, run_cuts};
use super::many::grains;
use super::{Matmul, by_quantised, same_x};
use crate::engine::DType;
use crate::engine::cpu::Team;
use crate::engine::view::{MatMut, Parts};
use crate::kernels::cpu::scratch::{take, with_scratch};
use crate::kernels::cpu::tile::{Avx2, Level, Target};
use crate::kernels::quant::{scales_of, zero_of};
use tile::tile;

/// Values with a scale of their own.
const LEN: usize = 32;
/// Words of a block of `x`: its bytes, the scale, and the scaled sum of the bytes.
const WORDS: usize = LEN / 4 + 2;
/// Rows and columns of a tile: its sums, those of bytes and the factors fill the 16 registers.
const ROWS: usize = 3;
const COLS: usize = 16;
/// Words of a block of a panel: for each four values the levels of all columns, then scales and leasts.
const PANEL_WORDS: usize = (LEN / 4 + 2) * COLS;
/// Most blocks of a panel, which then takes 15 KiB of the first-level cache.
const DEPTH: usize = 24;
/// Rows that pass all panels of a task before the next ones do.
const TOGETHER: usize = 96;
/// Columns that a task may have.
const WIDTHS: [usize; 4] = [128, 96, 64, 32];
/// Laying a weight out costs about as much as multiplying it with this many rows.
const EXPANSION: usize = 40;

/// Multiplies the same rows with several quantised weights. `Matmul::run` must have checked every
/// extent and found AVX2.
pub fn run(jobs: &[Matmul<'_>], team: &Team, outs: &mut [MatMut<'_>]) {
    let Some(Matmul { x, .. }) = jobs.first() else {
        return;
    };
    assert!(jobs.len() == outs.len() && jobs.iter().all(|job| same_x(job, &jobs[0])));
    let strip = x.cols / LEN * WORDS;
    with_scratch(x.rows * strip, |split| {
        let mut rows = MatMut::new(split, x.rows, strip, strip);
        team.rows(&mut rows, 16, |row, to| {
            // SAFETY: the processor has AVX2.
            unsafe { split_row(x.row(row), to) }
        });
        let (split, threads) = (&*split, team.threads());
        let cut = |out: &MatMut<'_>| {
            let grain = grains(out.rows, out.cols, threads, ROWS, EXPANSION, &WIDTHS);
            Cut::new(out, grain)
        };
        let cuts: Vec<Cut> = outs.iter().map(cut).collect();
        let outs: Vec<Parts<'_>> = outs.iter_mut().map(MatMut::parts).collect();
        run_cuts(team, &cuts, |i, rows, cols| {
            let (job, out) = (&jobs[i], outs[i]);
            let run = match job.weight.dtype {
                DType::Q4_0 | DType::Q4_1 | DType::Q4_K => 8,
                DType::Q5_0 | DType::Q5_1 | DType::Q5_K => 4,
                _ => 1,
            };
            let block = Block {
                job,
                run,
                x: split,
                strip,
                out,
                rows,
                cols,
            };
            // SAFETY: the extents are checked, the processor has AVX2; each task has its own block
            // of the output.
            unsafe { block.run() }
        });
    });
}

/// Rounds the blocks of a row to bytes.
#[target_feature(enable = "avx2,fma")]
fn split_row(x: &[f32], to: &mut [f32]) {
    let sign = _mm256_set1_ps(-0.0);
    for (x, to) in x.chunks_exact(LEN).zip(to.chunks_exact_mut(WORDS)) {
        // SAFETY: 32 values, and room for ten words.
        unsafe {
            let mut v = [_mm256_setzero_ps(); 4];
            for (i, v) in v.iter_mut().enumerate() {
                *v = _mm256_loadu_ps(x[8 * i..8 * i + 8].as_ptr());
            }
            let size = |v| _mm256_andnot_ps(sign, v);
            let most = _mm256_max_ps(
                _mm256_max_ps(size(v[0]), size(v[1])),
                _mm256_max_ps(size(v[2]), size(v[3])),
            );
            let most = lanes(most).into_iter().fold(0.0, f32::max);
            // What is no number is lost in comparisons, not in a sum. One that overflows would be
            // lost in the product, too.
            let all = _mm256_add_ps(_mm256_add_ps(v[0], v[1]), _mm256_add_ps(v[2], v[3]));
            let finite = lanes(all).iter().sum::<f32>().is_finite();
            let scale = if finite { most / 127.0 } else { f32::NAN };
            // The inverse of the smallest numbers would be infinite.
            let inverse = _mm256_set1_ps(if most > 1e-30 { 127.0 / most } else { 0.0 });
            let whole = v.map(|v| _mm256_cvtps_epi32(_mm256_mul_ps(v, inverse)));
            let sum = _mm256_add_epi32(
                _mm256_add_epi32(whole[0], whole[1]),
                _mm256_add_epi32(whole[2], whole[3]),
            );
            let sum: f32 = lanes(_mm256_cvtepi32_ps(sum)).iter().sum();
            // Packing works within halves, whose words are then brought into order.
            let bytes = _mm256_packs_epi16(
                _mm256_packs_epi32(whole[0], whole[1]),
                _mm256_packs_epi32(whole[2], whole[3]),
            );
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            let bytes = _mm256_permutevar8x32_epi32(bytes, order);
            _mm256_storeu_si256(to[..LEN / 4].as_mut_ptr().cast(), bytes);
            to[LEN / 4] = scale;
            to[LEN / 4 + 1] = scale * sum;
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn lanes(v: __m256) -> [f32; 8] {
    let mut lanes = [0.0; 8];
    // SAFETY: room for eight floats.
    unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), v) };
    lanes
}

/// One task: some rows and columns of the output.
struct Block<'a> {
    job: &'a Matmul<'a>,
    /// Steps of four levels whose products fit into 16 bits.
    run: usize,
    /// The rows in bytes, `strip` words each.
    x: &'a [f32],
    strip: usize,
    out: Parts<'a>,
    rows: Range<usize>,
    cols: Range<usize>,
}

impl Block<'_> {
    /// # Safety
    /// As the function `run` says.
    unsafe fn run(&self) {
        let blocks = self.job.x.cols / LEN;
        // Pieces of equal depth.
        let depth = blocks.div_ceil(blocks.div_ceil(DEPTH));
        let panel = depth * PANEL_WORDS;
        let panels = self.cols.len().div_ceil(COLS);
        with_scratch(panels * panel + LEN / 4 * COLS, |mut scratch| {
            let packed = take(&mut scratch, panels * panel);
            for start in (0..blocks).step_by(depth) {
                let depth = start..blocks.min(start + depth);
                for (packed, col) in packed
                    .chunks_exact_mut(panel)
                    .zip(self.cols.clone().step_by(COLS))
                {
                    // SAFETY: the caller's.
                    unsafe { self.pack(col, &depth, packed, scratch) };
                }
                for row in self.rows.clone().step_by(TOGETHER) {
                    let rows = row..self.rows.end.min(row + TOGETHER);
                    let panels = packed.chunks_exact(panel);
                    for (packed, col) in panels.zip(self.cols.clone().step_by(COLS)) {
                        // SAFETY: the caller's.
                        unsafe { self.multiply(rows.clone(), col, &depth, packed) };
                    }
                }
            }
        });
    }

    /// Lays out the blocks `depth` of the panel's columns.
    ///
    /// # Safety
    /// As the function `run` says.
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn pack(&self, col: usize, depth: &Range<usize>, packed: &mut [f32], dense: &mut [f32]) {
        let weight = &self.job.weight;
        let per_block = weight.dtype.block_len() / LEN;
        let bytes = weight.dtype.block_bytes();
        for (at, packed) in depth.clone().zip(packed.chunks_exact_mut(PANEL_WORDS)) {
            let (levels, factors) = packed.split_at_mut(LEN / 4 * COLS);
            for i in 0..COLS {
                let n = col + i;
                let to = &mut dense[LEN / 4 * i..][..LEN / 4];
                if n >= self.cols.end {
                    to.fill(0.0);
                    (factors[i], factors[COLS + i]) = (0.0, 0.0);
                    continue;
                }
                let block = &weight.row(n)[at / per_block * bytes..][..bytes];
                // SAFETY: a whole block; the processor has AVX2.
                let factor = by_quantised!(weight.dtype, D => unsafe {
                    lay_out(D, block, at % per_block, to)
                });
                (factors[i], factors[COLS + i]) = factor;
            }
            for half in 0..2 {
                let from = &dense[64 * half..][..64];
                let to = &mut levels[8 * half..][..7 * COLS + 8];
                // SAFETY: eight rows of eight words either way.
                unsafe { Avx2::transpose(from.as_ptr(), 8, to.as_mut_ptr(), COLS) };
            }
        }
    }

    /// # Safety
    /// As the function `run` says.
    unsafe fn multiply(
        &self,
        rows: Range<usize>,
        col: usize,
        depth: &Range<usize>,
        packed: &[f32],
    ) {
        let bias = match self.job.bias {
            Some(bias) if depth.start == 0 => bias[col..].as_ptr(),
            _ => std::ptr::null(),
        };
        assert!(packed.len() >= depth.len() * PANEL_WORDS && depth.end * WORDS <= self.strip);
        for row in rows.clone().step_by(ROWS) {
            let count = ROWS.min(rows.end - row);
            let a = &self.x[row * self.strip..][..count * self.strip];
            let a = a[depth.start * WORDS..].as_ptr();
            // SAFETY: this task's own block of the output, rows and a panel by the slices.
            unsafe {
                let target = Target {
                    c: self.out.at(row, col),
                    stride: self.out.stride(),
                    cols: COLS.min(self.cols.end - col),
                    keep: depth.start > 0 || self.job.accumulate,
                    bias,
                };
                let (blocks, a, b) = (depth.len(), (a, self.strip), packed.as_ptr());
                match (count, self.run) {
                    (ROWS, 8) => tile::<ROWS, 8>(blocks, a, b, target),
                    (ROWS, 4) => tile::<ROWS, 4>(blocks, a, b, target),
                    (ROWS, _) => tile::<ROWS, 1>(blocks, a, b, target),
                    (2, _) => tile::<2, 1>(blocks, a, b, target),
                    _ => tile::<1, 1>(blocks, a, b, target),
                }
            }
        }
    }
}

/// Writes the levels of the weights `32 j` to `32 j + 31` of a block, and gives their scale and what
/// level 0 stands for. Weights of more than five bits get seven bits of their own.
///
/// # Safety
/// `block` must be a whole block of the type; the processor must have AVX2, FMA and F16C.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn lay_out(dtype: DType, block: &[u8], j: usize, to: &mut [f32]) -> (f32, f32) {
    assert!(to.len() >= LEN / 4);
    let to = to.as_mut_ptr().cast();
    if !matches!(dtype, DType::Q8_0 | DType::Q6_K) {
        let ([scale, _], offset) = scales_of(dtype, block, j);
        // SAFETY: the caller's; room for 32 bytes.
        unsafe { _mm256_storeu_si256(to, levels(dtype, block.as_ptr(), j)) };
        return (scale, offset - f32::from(zero_of(dtype)) * scale);
    }
    // SAFETY: as above.
    unsafe {
        let v = weights(dtype, block, j);
        let fold = |f: unsafe fn(__m256, __m256) -> __m256| f(f(v[0], v[1]), f(v[2], v[3]));
        let least = lanes(fold(_mm256_min_ps));
        let least = least.into_iter().fold(f32::INFINITY, f32::min);
        let most = lanes(fold(_mm256_max_ps));
        let most = most.into_iter().fold(f32::NEG_INFINITY, f32::max);
        let range = most - least;
        let inverse = _mm256_set1_ps(if range > 1e-30 { 127.0 / range } else { 0.0 });
        let level = |v| {
            _mm256_cvtps_epi32(_mm256_mul_ps(
                _mm256_sub_ps(v, _mm256_set1_ps(least)),
                inverse,
            ))
        };
        let bytes = _mm256_packus_epi16(
            _mm256_packs_epi32(level(v[0]), level(v[1])),
            _mm256_packs_epi32(level(v[2]), level(v[3])),
        );
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        _mm256_storeu_si256(to, _mm256_permutevar8x32_epi32(bytes, order));
        (range / 127.0, least)
    }
}
