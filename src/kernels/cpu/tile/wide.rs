//! AVX-512: tiles of 12 rows by two vectors of 16.

use std::arch::x86_64::*;

use super::{Level, Operands, Target};
use crate::engine::DType;
use crate::kernels::cpu::unpack::{first, unpack_row, with_format};

/// Rows of a full tile.
pub const TILE_ROWS: usize = 12;
/// Columns of a full tile: two vectors.
pub const TILE_COLS: usize = 32;

pub struct Avx512;

impl Level for Avx512 {
    const LANES: usize = 16;
    const ROWS: usize = TILE_ROWS;
    const DEPTH: usize = 256;
    const TOGETHER: usize = usize::MAX;
    const EXPANSION: [usize; 2] = [12, 16];

    unsafe fn expand(dtype: DType, weights: &[u8], out: &mut [f32]) {
        assert_eq!(dtype.row_bytes(out.len()), Some(weights.len()));
        // SAFETY: the caller's.
        unsafe { with_format!(dtype, U => unpack_row::<U>(weights.as_ptr(), out)) }
    }

    unsafe fn transpose(src: *const f32, src_stride: usize, out: *mut f32, out_stride: usize) {
        // SAFETY: the caller's.
        unsafe { transpose_16(src, src_stride, out, out_stride) }
    }

    unsafe fn tile(rows: usize, operands: Operands, target: Target) {
        macro_rules! by_rows {
            ($($n:literal)*) => {
                match rows {
                    // SAFETY: the caller's.
                    $($n => unsafe { fixed::<$n>(operands, target) },)*
                    _ => unreachable!("a tile has 1 to 12 rows"),
                }
            };
        }
        by_rows!(1 2 3 4 5 6 7 8 9 10 11 12)
    }
}

#[target_feature(enable = "avx512f,fma")]
unsafe fn fixed<const M: usize>(operands: Operands, target: Target) {
    let Operands {
        k,
        a,
        a_stride,
        b,
        b_stride,
    } = operands;
    let mut sums = [[_mm512_setzero_ps(); 2]; M];
    // SAFETY: the caller's.
    unsafe {
        for i in 0..k {
            let b = b.add(i * b_stride);
            let b = [_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16))];
            for (r, sums) in sums.iter_mut().enumerate() {
                let a = _mm512_set1_ps(*a.add(r * a_stride + i));
                sums[0] = _mm512_fmadd_ps(a, b[0], sums[0]);
                sums[1] = _mm512_fmadd_ps(a, b[1], sums[1]);
            }
        }
        for v in 0..2 {
            let mask = first(target.cols.saturating_sub(16 * v).min(16));
            if mask == 0 {
                break;
            }
            let bias = if target.bias.is_null() {
                _mm512_setzero_ps()
            } else {
                _mm512_maskz_loadu_ps(mask, target.bias.add(16 * v))
            };
            for (r, sums) in sums.iter().enumerate() {
                let c = target.c.add(r * target.stride + 16 * v);
                let mut sum = _mm512_add_ps(sums[v], bias);
                if target.keep {
                    sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, c));
                }
                _mm512_mask_storeu_ps(c, mask, sum);
            }
        }
    }
}

/// Transposes 16 rows of 16 values: `out[i * out_stride + j] = src[j * src_stride + i]`.
///
/// # Safety
/// Both blocks must be there, and the processor must have AVX-512 F.
#[target_feature(enable = "avx512f")]
unsafe fn transpose_16(src: *const f32, src_stride: usize, out: *mut f32, out_stride: usize) {
    let mut rows = [_mm512_setzero_ps(); 16];
    for (i, row) in rows.iter_mut().enumerate() {
        // SAFETY: the caller's.
        *row = unsafe { _mm512_loadu_ps(src.add(i * src_stride)) };
    }
    for (i, row) in transposed(rows).into_iter().enumerate() {
        // SAFETY: the caller's.
        unsafe { _mm512_storeu_ps(out.add(i * out_stride), row) };
    }
}

/// The columns of 16 rows.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(r: [__m512; 16]) -> [__m512; 16] {
    let zero = _mm512_setzero_ps();
    // Pairs, then fours within each 128-bit lane.
    let mut t = [zero; 16];
    for i in (0..16).step_by(2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    let pair = |a: __m512, b: __m512| (_mm512_castps_pd(a), _mm512_castps_pd(b));
    let mut u = [zero; 16];
    for i in (0..16).step_by(4) {
        for h in 0..2 {
            let (a, b) = pair(t[i + h], t[i + 2 + h]);
            u[i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            u[i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    }
    // `u[4 g + c]` has column `4 l + c` of rows `4 g..` in lane `l`: move the lanes.
    let mut out = [zero; 16];
    for c in 0..4 {
        let low = _mm512_shuffle_f32x4::<0x88>(u[c], u[4 + c]);
        let high = _mm512_shuffle_f32x4::<0xdd>(u[c], u[4 + c]);
        let low2 = _mm512_shuffle_f32x4::<0x88>(u[8 + c], u[12 + c]);
        let high2 = _mm512_shuffle_f32x4::<0xdd>(u[8 + c], u[12 + c]);
        out[c] = _mm512_shuffle_f32x4::<0x88>(low, low2);
        out[8 + c] = _mm512_shuffle_f32x4::<0xdd>(low, low2);
        out[4 + c] = _mm512_shuffle_f32x4::<0x88>(high, high2);
        out[12 + c] = _mm512_shuffle_f32x4::<0xdd>(high, high2);
    }
    out
}
