//! AVX2: tiles of 6 rows by two vectors of 8, what 16 registers hold.

use std::arch::x86_64::*;

use super::{Level, Operands, Target};
use crate::engine::DType;
use crate::kernels::cpu::matmul::expand_avx2;

pub struct Avx2;

const ROWS: usize = 6;

impl Level for Avx2 {
    const LANES: usize = 8;
    const ROWS: usize = ROWS;
    const DEPTH: usize = 288;
    /// Their values stay in a second-level cache of 512 KiB beside 128 columns of the weight.
    const TOGETHER: usize = 96;
    const EXPANSION: [usize; 2] = [12, 20];

    unsafe fn expand(dtype: DType, weights: &[u8], out: &mut [f32]) {
        // SAFETY: the caller's.
        unsafe { expand_avx2(dtype, weights, out) }
    }

    unsafe fn transpose(src: *const f32, src_stride: usize, out: *mut f32, out_stride: usize) {
        // SAFETY: the caller's.
        unsafe { transpose_8(src, src_stride, out, out_stride) }
    }

    unsafe fn tile(rows: usize, operands: Operands, target: Target) {
        macro_rules! by_rows {
            ($($n:literal)*) => {
                match rows {
                    // SAFETY: the caller's.
                    $($n => unsafe { fixed::<$n>(operands, target) },)*
                    _ => unreachable!("a tile has 1 to 6 rows"),
                }
            };
        }
        by_rows!(1 2 3 4 5 6)
    }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn fixed<const M: usize>(operands: Operands, target: Target) {
    // What the sums are added to, while they are made.
    for r in 0..M {
        let c = target.c.wrapping_add(r * target.stride);
        _mm_prefetch::<_MM_HINT_T0>(c.cast());
    }
    // SAFETY: the caller's.
    let sums = unsafe { products::<M, false>(operands) };
    // SAFETY: the caller's.
    unsafe { store(&sums, target) }
}

/// The products of `M` rows of `a` with two vectors of each row of `b`. The elements of `a` lie by
/// row, or by depth: see [`Order`](crate::kernels::cpu::product::Order).
///
/// # Safety
/// All of that must be there, and the processor have AVX2 and FMA.
#[inline(always)]
pub unsafe fn products<const M: usize, const BY_DEPTH: bool>(
    operands: Operands,
) -> [[__m256; 2]; M] {
    /// Steps after which the pointers move: what is left for them is an offset.
    const UNROLLED: usize = 4;
    let (row, step) = if BY_DEPTH {
        (1, operands.a_stride)
    } else {
        (operands.a_stride, 1)
    };
    let Operands { k, b_stride, .. } = operands;
    let (mut a, mut b) = (operands.a, operands.b);
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[_mm256_setzero_ps(); 2]; M];
        for _ in 0..k / UNROLLED {
            for i in 0..UNROLLED {
                add::<M>(&mut sums, a.add(i * step), row, b.add(i * b_stride));
            }
            // Past the last row there may be nothing: it is only pointed at.
            a = a.wrapping_add(UNROLLED * step);
            b = b.wrapping_add(UNROLLED * b_stride);
        }
        for i in 0..k % UNROLLED {
            add::<M>(&mut sums, a.add(i * step), row, b.add(i * b_stride));
        }
        sums
    }
}

/// Adds the products of `M` elements, `row` floats apart, with two vectors.
///
/// # Safety
/// As for [`products`].
#[inline(always)]
unsafe fn add<const M: usize>(
    sums: &mut [[__m256; 2]; M],
    a: *const f32,
    row: usize,
    b: *const f32,
) {
    // SAFETY: the caller's.
    unsafe {
        let b = [_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8))];
        for (r, sums) in sums.iter_mut().enumerate() {
            let a = _mm256_broadcast_ss(&*a.add(r * row));
            sums[0] = _mm256_fmadd_ps(a, b[0], sums[0]);
            sums[1] = _mm256_fmadd_ps(a, b[1], sums[1]);
        }
    }
}

/// Writes the sums of some rows of two vectors.
///
/// # Safety
/// The target must be there, and the processor have AVX2.
#[inline(always)]
pub unsafe fn store<const M: usize>(sums: &[[__m256; 2]; M], target: Target) {
    // SAFETY: the caller's.
    unsafe {
        if target.cols == 16 {
            return store_whole(sums, target);
        }
        for v in 0..2 {
            let cols = target.cols.saturating_sub(8 * v).min(8);
            if cols == 0 {
                break;
            }
            let mask = first(cols);
            let bias = if target.bias.is_null() {
                _mm256_setzero_ps()
            } else {
                _mm256_maskload_ps(target.bias.add(8 * v), mask)
            };
            for (r, sums) in sums.iter().enumerate() {
                let c = target.c.add(r * target.stride + 8 * v);
                let mut sum = _mm256_add_ps(sums[v], bias);
                if target.keep {
                    sum = _mm256_add_ps(sum, _mm256_maskload_ps(c, mask));
                }
                match cols {
                    8 => _mm256_storeu_ps(c, sum),
                    _ => _mm256_maskstore_ps(c, mask, sum),
                }
            }
        }
    }
}

/// As [`store`], of all 16 columns.
///
/// # Safety
/// As for [`store`].
#[inline(always)]
unsafe fn store_whole<const M: usize>(sums: &[[__m256; 2]; M], target: Target) {
    // SAFETY: the caller's.
    unsafe {
        let vectors = |from: *const f32| [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))];
        let bias = if target.bias.is_null() {
            [_mm256_setzero_ps(); 2]
        } else {
            vectors(target.bias)
        };
        for (r, sums) in sums.iter().enumerate() {
            let c = target.c.add(r * target.stride);
            let mut sums = [
                _mm256_add_ps(sums[0], bias[0]),
                _mm256_add_ps(sums[1], bias[1]),
            ];
            if target.keep {
                let before = vectors(c);
                sums = [
                    _mm256_add_ps(sums[0], before[0]),
                    _mm256_add_ps(sums[1], before[1]),
                ];
            }
            _mm256_storeu_ps(c, sums[0]);
            _mm256_storeu_ps(c.add(8), sums[1]);
        }
    }
}

/// A mask of the first `n <= 8` lanes.
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
unsafe fn first(n: usize) -> __m256i {
    // SAFETY: the caller's.
    unsafe {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), lanes)
    }
}

/// Transposes 8 rows of 8 values: `out[i * out_stride + j] = src[j * src_stride + i]`.
///
/// # Safety
/// Both blocks must be there, and the processor must have AVX2.
#[target_feature(enable = "avx2")]
unsafe fn transpose_8(src: *const f32, src_stride: usize, out: *mut f32, out_stride: usize) {
    let zero = _mm256_setzero_ps();
    let (mut r, mut t) = ([zero; 8], [zero; 8]);
    for (i, row) in r.iter_mut().enumerate() {
        // SAFETY: the caller's.
        *row = unsafe { _mm256_loadu_ps(src.add(i * src_stride)) };
    }
    // Pairs, then fours within each 128-bit lane, then the lanes.
    for i in (0..8).step_by(2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for half in [0, 4] {
        for i in 0..2 {
            let (a, b) = (t[half + i], t[half + i + 2]);
            r[half + 2 * i] = _mm256_shuffle_ps::<0x44>(a, b);
            r[half + 2 * i + 1] = _mm256_shuffle_ps::<0xee>(a, b);
        }
    }
    for i in 0..4 {
        let low = _mm256_permute2f128_ps::<0x20>(r[i], r[4 + i]);
        let high = _mm256_permute2f128_ps::<0x31>(r[i], r[4 + i]);
        // SAFETY: the caller's.
        unsafe {
            _mm256_storeu_ps(out.add(i * out_stride), low);
            _mm256_storeu_ps(out.add((4 + i) * out_stride), high);
        }
    }
}
