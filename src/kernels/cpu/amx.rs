//! The tile unit of newer Xeons (AMX), 8 times as fast as their vectors in `bf16`.
//!
//! Both factors are split into two `bf16` numbers, `v = high + low` with a relative error below
//! 2^-17, and three products are summed in `f32`: `high high + high low + low high`. What is left
//! out (`low low`) is of the size of that error. Rough products are of the high parts alone.

use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

use super::tile::transposed;
use super::unpack::first;
use crate::engine::view::{Mat, Parts};

/// Rows and columns that one pass through the tile unit covers: two tiles each.
pub const SIDE: usize = 32;
/// Values along the depth that a tile holds.
pub const TILE_DEPTH: usize = 32;
/// Floats' worth of one tile: 16 rows of 64 bytes.
pub const TILE: usize = 256;

/// Splits 16 rows of `x`, zeros where there are fewer, into tiles: for each piece of depth one of
/// high parts and, of two `PARTS`, one of low parts.
///
/// # Safety
/// Every row must lie in `x.data`; the processor must have AVX-512 F, BW and BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub unsafe fn split_rows<const PARTS: usize>(x: &Mat<'_>, row: usize, strip: &mut [f32]) {
    let depth = x.cols;
    for (t, tiles) in strip.chunks_exact_mut(PARTS * TILE).enumerate() {
        let left = depth - t * TILE_DEPTH;
        let (a, b) = (first(left.min(16)), first(left.saturating_sub(16).min(16)));
        for i in 0..16 {
            let mut parts = [_mm512_setzero_si512(); 2];
            if row + i < x.rows {
                // SAFETY: the masks keep the loads inside the row.
                unsafe {
                    let from = x.row(row + i).as_ptr().wrapping_add(t * TILE_DEPTH);
                    let low = _mm512_maskz_loadu_ps(a, from);
                    let high = _mm512_maskz_loadu_ps(b, from.wrapping_add(16));
                    parts = split(low, high);
                }
            }
            for (tile, part) in tiles.chunks_exact_mut(TILE).zip(parts) {
                // SAFETY: row `i` of the tile.
                unsafe { _mm512_storeu_si512(tile[i * 16..][..16].as_mut_ptr().cast(), part) };
            }
        }
    }
}

/// 32 values rounded to `bf16`.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub fn round(a: __m512, b: __m512) -> __m512i {
    // SAFETY: both types are 512 plain bits.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(b, a)) }
}

/// The high and the low parts of 32 values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub fn split(a: __m512, b: __m512) -> [__m512i; 2] {
    let widen = |half| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(half)));
    let high = round(a, b);
    let rest_a = _mm512_sub_ps(a, widen(_mm512_castsi512_si256(high)));
    let rest_b = _mm512_sub_ps(b, widen(_mm512_extracti64x4_epi64::<1>(high)));
    [high, round(rest_a, rest_b)]
}

/// Splits 16 columns of a right factor, 32 values deep, into a tile of each part.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub fn split_columns<const PARTS: usize>(
    column: impl Fn(usize) -> (__m512, __m512),
    tiles: &mut [f32],
) {
    let [mut highs, mut lows] = [[_mm512_setzero_ps(); 16]; 2];
    for (i, (to_high, to_low)) in highs.iter_mut().zip(&mut lows).enumerate() {
        let (a, b) = column(i);
        let [high, low] = split(a, b);
        *to_high = _mm512_castsi512_ps(high);
        *to_low = _mm512_castsi512_ps(low);
    }
    // A pair of neighbours along the depth moves as one 32-bit element.
    for (tile, part) in tiles[..PARTS * TILE]
        .chunks_exact_mut(TILE)
        .zip([highs, lows])
    {
        for (to, row) in tile.chunks_exact_mut(16).zip(transposed(part)) {
            // SAFETY: 16 floats by the chunk.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), row) };
        }
    }
}

/// Splits `rows` rows of 16 values, `stride` apart, into a tile of high parts and, of two `PARTS`, one of
/// low parts, that hold two rows in each of theirs, neighbours beside each other: what a right factor looks
/// like. Rows that are not there are zeros, as are values that `mask` leaves out.
///
/// # Safety
/// The rows must be there, as many tiles at `tiles`, and the processor must have AVX-512 F, BW and BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub unsafe fn split_pairs<const PARTS: usize>(
    from: *const f32,
    stride: usize,
    rows: usize,
    mask: __mmask16,
    tiles: *mut f32,
) {
    for pair in 0..TILE_DEPTH / 2 {
        let row = |i: usize| {
            if i < rows {
                // SAFETY: the caller's; the mask keeps to the row.
                unsafe { _mm512_maskz_loadu_ps(mask, from.wrapping_add(i * stride)) }
            } else {
                _mm512_setzero_ps()
            }
        };
        let parts = split_pair(row(2 * pair), row(2 * pair + 1));
        for (tile, part) in parts.into_iter().take(PARTS).enumerate() {
            // SAFETY: row `pair` of the tile.
            unsafe { _mm512_storeu_si512(tiles.add(tile * TILE + 16 * pair).cast(), part) };
        }
    }
}

/// The high and the low parts of two rows of 16 values, neighbours beside each other.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub fn split_pair(even: __m512, odd: __m512) -> [__m512i; 2] {
    // Rounds to 16 bits: `even` in the lower, `odd` in the upper half of each lane.
    let halves = _mm512_add_epi32(
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
        _mm512_set1_epi32(16 << 16),
    );
    let lanes = _mm512_or_si512(
        halves,
        _mm512_slli_epi32::<16>(_mm512_and_si512(halves, _mm512_set1_epi32(15))),
    );
    let round = |even, odd| {
        // SAFETY: both types are 512 plain bits.
        let both =
            unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(odd, even)) };
        _mm512_permutexvar_epi16(lanes, both)
    };
    let high = round(even, odd);
    let even_high = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(high));
    let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
    let odd_high = _mm512_castsi512_ps(_mm512_and_si512(high, upper));
    let low = round(_mm512_sub_ps(even, even_high), _mm512_sub_ps(odd, odd_high));
    [high, low]
}

/// Where 32 by 32 sums go.
pub struct Target<'a> {
    pub out: Parts<'a>,
    /// At most 32 each, and inside `out`.
    pub rows: Range<usize>,
    pub cols: Range<usize>,
    /// Added to each row, from its first column on.
    pub bias: Option<&'a [f32]>,
    /// Add to what is there instead of replacing it.
    pub keep: bool,
}

impl Target<'_> {
    /// Puts the sums where they belong.
    ///
    /// # Safety
    /// The block must be the caller's own, and the processor must have AVX-512 F.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn store(&self, sums: &[f32]) {
        assert!(self.rows.end <= self.out.rows() && self.cols.end <= self.out.cols());
        assert!(self.bias.is_none_or(|b| b.len() >= self.cols.len()));
        for (v, col) in self.cols.clone().step_by(16).enumerate() {
            let mask = first((self.cols.end - col).min(16));
            let bias = match self.bias {
                // SAFETY: the mask keeps the load inside the bias.
                Some(bias) => unsafe { _mm512_maskz_loadu_ps(mask, bias.as_ptr().add(16 * v)) },
                None => _mm512_setzero_ps(),
            };
            for (row, sums) in self.rows.clone().zip(sums.chunks_exact(SIDE)) {
                // SAFETY: the caller's own block; the mask keeps to its columns.
                unsafe {
                    let mut sum = _mm512_add_ps(_mm512_loadu_ps(sums[16 * v..].as_ptr()), bias);
                    let to = self.out.at(row, col);
                    if self.keep {
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
pub unsafe fn configure() {
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
pub unsafe fn release() {
    // SAFETY: the caller's.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// `sums` (32 by 32) of the products of `count` pieces of depth: `upper` and `lower` hold a high
/// and a low tile each piece, `weights` such a pair for each of its two column tiles.
///
/// # Safety
/// The tiles must be there, 32 x 32 floats in `sums`, and the tile unit configured.
pub unsafe fn multiply_tiles(
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

/// As [`multiply_tiles`], of high parts alone: `upper` and `lower` hold a tile each piece, `weights` one
/// for each of its two column tiles, and the next piece's `step` floats on.
///
/// # Safety
/// As for [`multiply_tiles`].
pub unsafe fn multiply_high_tiles(
    count: usize,
    upper: *const f32,
    lower: *const f32,
    (weights, step): (*const f32, usize),
    sums: &mut [f32],
) {
    if count == 0 {
        sums.fill(0.0);
        return;
    }
    // SAFETY: the caller's. The compiler itself never uses tile registers.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{upper} + {row}]",
            "tileloadd tmm6, [{weights} + {row}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{weights} + {row} + 1024]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{lower} + {row}]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {upper}, 1024",
            "add {lower}, 1024",
            "add {weights}, {step}",
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
            step = in(reg) step * size_of::<f32>(),
            row = in(reg) 64usize,
            sums = in(reg) sums.as_mut_ptr(),
            sum_row = in(reg) 128usize,
            options(nostack),
        );
    }
}
