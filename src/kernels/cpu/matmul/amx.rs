//! Many rows with the tile unit of newer Xeons (AMX), 8 times as fast as their vectors in `bf16`.
//!
//! Both factors are split into two `bf16` numbers, `v = high + low` with a relative error below
//! 2^-17, and three products are summed in `f32`: `high high + high low + low high`. What is left
//! out (`low low`) is of the size of that error.

use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

use super::Matmul;
use super::many::grains;
use crate::engine::DType;
use crate::engine::cpu::Team;
use crate::engine::view::{MatMut, Parts};
use crate::kernels::cpu::scratch::{take, with_scratch};
use crate::kernels::cpu::tile::transposed;
use crate::kernels::cpu::unpack::{Unpack, first, unpack_row, with_format};

/// Fewer rows than this do not repay the splitting.
pub const LEAST_ROWS: usize = 24;

/// Depth of a panel. A panel's 32 columns fill two thirds of a 48 KiB first-level cache.
const DEPTH: usize = 256;
/// Rows and columns that one pass through the tile unit covers: two tiles each.
const SIDE: usize = 32;
/// Values along the depth that a tile holds.
const TILE_DEPTH: usize = 32;
/// Floats' worth of one tile: 16 rows of 64 bytes.
const TILE: usize = 256;
/// Expanding and splitting a weight costs about as much as multiplying it with this many rows.
const EXPANSION: usize = 200;

pub fn run(job: &Matmul<'_>, team: &Team, out: &mut MatMut<'_>) {
    let (rows, cols, depth) = (out.rows, out.cols, job.x.cols);
    let (row_grain, col_grain) = grains(rows, cols, team.threads(), SIDE, EXPANSION);
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
            unsafe { split_rows(job, i * 16, strip) }
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

/// Splits 16 rows of `x`, zeros where there are fewer, into tiles.
///
/// # Safety
/// The processor must have AVX-512 F, BW and BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn split_rows(job: &Matmul<'_>, row: usize, strip: &mut [f32]) {
    let depth = job.x.cols;
    for (t, tiles) in strip.chunks_exact_mut(2 * TILE).enumerate() {
        let left = depth - t * TILE_DEPTH;
        let (a, b) = (first(left.min(16)), first(left.saturating_sub(16).min(16)));
        for i in 0..16 {
            let mut parts = [_mm512_setzero_si512(); 2];
            if row + i < job.x.rows {
                // SAFETY: the masks keep the loads inside the row.
                unsafe {
                    let from = job.x.row(row + i).as_ptr().wrapping_add(t * TILE_DEPTH);
                    let low = _mm512_maskz_loadu_ps(a, from);
                    let high = _mm512_maskz_loadu_ps(b, from.wrapping_add(16));
                    parts = split(low, high);
                }
            }
            let [high, low] = parts;
            // SAFETY: row `i` of each of the two tiles.
            unsafe {
                _mm512_storeu_si512(tiles[i * 16..][..16].as_mut_ptr().cast(), high);
                _mm512_storeu_si512(tiles[TILE + i * 16..][..16].as_mut_ptr().cast(), low);
            }
        }
    }
}

/// The high and the low parts of 32 values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn split(a: __m512, b: __m512) -> [__m512i; 2] {
    // SAFETY: both types are 512 plain bits.
    let round =
        |a, b| unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(b, a)) };
    let widen = |half| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(half)));
    let high = round(a, b);
    let rest_a = _mm512_sub_ps(a, widen(_mm512_castsi512_si256(high)));
    let rest_b = _mm512_sub_ps(b, widen(_mm512_extracti64x4_epi64::<1>(high)));
    [high, round(rest_a, rest_b)]
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
        for row in self.rows.clone().step_by(SIDE) {
            let at = row / 16 * self.strip + start / TILE_DEPTH * 2 * TILE;
            let upper = &self.x[at..][..tiles * 2 * TILE];
            let lower = &self.x[at + self.strip..][..tiles * 2 * TILE];
            assert!(packed.len() >= tiles * 4 * TILE && sums.len() >= SIDE * SIDE);
            // SAFETY: the extents are checked above.
            unsafe {
                multiply_tiles(tiles, upper.as_ptr(), lower.as_ptr(), packed.as_ptr(), sums);
                self.store(row, col, start, sums);
            }
        }
    }

    /// Puts 32 by 32 sums where they belong.
    ///
    /// # Safety
    /// As the function `run` says.
    #[target_feature(enable = "avx512f")]
    unsafe fn store(&self, row: usize, col: usize, start: usize, sums: &[f32]) {
        let keep = start > 0 || self.job.accumulate;
        for v in 0..2 {
            let col = col + 16 * v;
            if col >= self.cols.end {
                break;
            }
            let mask = first((self.cols.end - col).min(16));
            let bias = match self.job.bias {
                // SAFETY: the mask keeps the load inside the bias.
                Some(bias) if start == 0 => unsafe {
                    _mm512_maskz_loadu_ps(mask, bias.as_ptr().add(col))
                },
                _ => _mm512_setzero_ps(),
            };
            let rows = row..self.rows.end.min(row + SIDE);
            for (row, sums) in rows.zip(sums.chunks_exact(SIDE)) {
                // SAFETY: this task's own block; the mask keeps to its columns.
                unsafe {
                    let mut sum = _mm512_add_ps(_mm512_loadu_ps(sums[16 * v..].as_ptr()), bias);
                    let to = self.out.at(row, col);
                    if keep {
                        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, to));
                    }
                    _mm512_mask_storeu_ps(to, mask, sum);
                }
            }
        }
    }
}

/// Gives all eight tiles 16 rows of 64 bytes.
///
/// # Safety
/// The system must let this process use the tile unit.
unsafe fn configure() {
    #[repr(C, align(64))]
    struct Config([u8; 64]);
    let mut config = Config([0; 64]);
    config.0[0] = 1;
    for tile in 0..8 {
        config.0[16 + 2 * tile] = 64;
        config.0[48 + tile] = 16;
    }
    // SAFETY: the caller's; the configuration is of the documented layout ("palette 1").
    unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, readonly)) };
}

/// Gives the tiles back, so that the system need not save them.
///
/// # Safety
/// As for [`configure`].
unsafe fn release() {
    // SAFETY: the caller's.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// `sums` (32 by 32) of the products of `count` pieces of depth: `upper` and `lower` hold a high
/// and a low tile each piece, `weights` such a pair for each of its two column tiles.
///
/// # Safety
/// The tiles must be there, 32 x 32 floats in `sums`, and the tile unit configured.
unsafe fn multiply_tiles(
    count: usize,
    upper: *const f32,
    lower: *const f32,
    weights: *const f32,
    sums: &mut [f32],
) {
    if count == 0 {
        sums.fill(0.0);
        return;
    }
    // Tiles 0 to 3 sum, 4 and 5 hold rows, 6 and 7 columns. Each of the four sums is touched every
    // fourth multiplication, which covers their latency.
    // SAFETY: the caller's. The compiler itself never uses tile registers.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{upper} + {row}]",
            "tileloadd tmm6, [{weights} + {row} + 1024]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{weights} + {row} + 3072]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{lower} + {row}]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "tileloadd tmm6, [{weights} + {row}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{weights} + {row} + 2048]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "tileloadd tmm4, [{upper} + {row} + 1024]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{lower} + {row} + 1024]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {upper}, 2048",
            "add {lower}, 2048",
            "add {weights}, 4096",
            "dec {count}",
            "jnz 2b",
            "tilestored [{sums} + {sum_row}], tmm0",
            "tilestored [{sums} + {sum_row} + 64], tmm1",
            "tilestored [{sums} + {sum_row} + 2048], tmm2",
            "tilestored [{sums} + {sum_row} + 2112], tmm3",
            upper = inout(reg) upper => _,
            lower = inout(reg) lower => _,
            weights = inout(reg) weights => _,
            count = inout(reg) count => _,
            row = in(reg) 64usize,
            sums = in(reg) sums.as_mut_ptr(),
            sum_row = in(reg) 128usize,
            options(nostack),
        );
    }
}
