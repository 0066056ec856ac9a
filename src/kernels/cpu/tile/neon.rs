//! NEON: tiles of 6 rows by four vectors of 4, what 32 registers hold.

use std::arch::aarch64::*;

use super::{Level, Operands, Target};
use crate::engine::DType;
use crate::kernels::cpu::matmul::expand_neon;

pub struct Neon;

const ROWS: usize = 6;
const VECTORS: usize = 4;

impl Level for Neon {
    const LANES: usize = 4;
    const ROWS: usize = ROWS;
    const COLS: usize = 4 * VECTORS;
    const DEPTH: usize = 288;
    /// Their values stay in a second-level cache of 512 KiB beside 128 columns of the weight.
    const TOGETHER: usize = 96;
    /// Those of AVX2, whose tiles are as large.
    const EXPANSION: [usize; 2] = [12, 20];

    unsafe fn expand(dtype: DType, weights: &[u8], out: &mut [f32]) {
        // SAFETY: the caller's.
        unsafe { expand_neon(dtype, weights, out) }
    }

    unsafe fn transpose(src: *const f32, src_stride: usize, out: *mut f32, out_stride: usize) {
        // SAFETY: the caller's.
        unsafe { transpose_4(src, src_stride, out, out_stride) }
    }

    unsafe fn tile(rows: usize, operands: Operands, target: Target) {
        macro_rules! by_rows {
            ($($n:literal)*) => {
                match rows {
                    // SAFETY: the caller's.
                    $($n => unsafe { store(&products::<$n, false>(operands), target) },)*
                    _ => unreachable!("a tile has 1 to 6 rows"),
                }
            };
        }
        by_rows!(1 2 3 4 5 6)
    }
}

/// The products of `M` rows of `a` with four vectors of each row of `b`. The elements of `a` lie by
/// row, or by depth: see [`Order`](crate::kernels::cpu::product::Order).
///
/// # Safety
/// All of that must be there.
#[inline(always)]
pub unsafe fn products<const M: usize, const BY_DEPTH: bool>(
    operands: Operands,
) -> [[float32x4_t; VECTORS]; M] {
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
        let mut sums = [[vdupq_n_f32(0.0); VECTORS]; M];
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

/// Adds the products of `M` elements, `row` floats apart, with four vectors.
///
/// # Safety
/// As for [`products`].
#[inline(always)]
unsafe fn add<const M: usize>(
    sums: &mut [[float32x4_t; VECTORS]; M],
    a: *const f32,
    row: usize,
    b: *const f32,
) {
    // SAFETY: the caller's.
    unsafe {
        let b = [
            vld1q_f32(b),
            vld1q_f32(b.add(4)),
            vld1q_f32(b.add(8)),
            vld1q_f32(b.add(12)),
        ];
        for (r, sums) in sums.iter_mut().enumerate() {
            let a = *a.add(r * row);
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = vfmaq_n_f32(*sum, b, a);
            }
        }
    }
}

/// Writes the sums of some rows of four vectors.
///
/// # Safety
/// The target must be there.
#[inline(always)]
pub unsafe fn store<const M: usize>(sums: &[[float32x4_t; VECTORS]; M], target: Target) {
    // SAFETY: the caller's; a vector that is not whole goes through memory of its own.
    unsafe {
        for v in 0..VECTORS {
            let cols = target.cols.saturating_sub(4 * v).min(4);
            if cols == 0 {
                break;
            }
            let bias = if target.bias.is_null() {
                vdupq_n_f32(0.0)
            } else {
                load(target.bias.add(4 * v), cols)
            };
            for (r, sums) in sums.iter().enumerate() {
                let c = target.c.add(r * target.stride + 4 * v);
                let mut sum = vaddq_f32(sums[v], bias);
                if target.keep {
                    sum = vaddq_f32(sum, load(c, cols));
                }
                if cols == 4 {
                    vst1q_f32(c, sum);
                } else {
                    let mut lanes = [0.0; 4];
                    vst1q_f32(lanes.as_mut_ptr(), sum);
                    c.copy_from_nonoverlapping(lanes.as_ptr(), cols);
                }
            }
        }
    }
}

/// The first `n <= 4` floats, and zeros.
///
/// # Safety
/// They must be there.
#[inline(always)]
unsafe fn load(from: *const f32, n: usize) -> float32x4_t {
    // SAFETY: the caller's.
    unsafe {
        if n == 4 {
            return vld1q_f32(from);
        }
        let mut lanes = [0.0; 4];
        lanes.as_mut_ptr().copy_from_nonoverlapping(from, n);
        vld1q_f32(lanes.as_ptr())
    }
}

/// Transposes 4 rows of 4 values: `out[i * out_stride + j] = src[j * src_stride + i]`.
///
/// # Safety
/// Both blocks must be there.
unsafe fn transpose_4(src: *const f32, src_stride: usize, out: *mut f32, out_stride: usize) {
    // SAFETY: the caller's.
    unsafe {
        let row = |i: usize| vld1q_f32(src.add(i * src_stride));
        let (r0, r1, r2, r3) = (row(0), row(1), row(2), row(3));
        // Pairs, then their halves.
        let (even, odd) = (vtrn1q_f32(r0, r1), vtrn2q_f32(r0, r1));
        let (even2, odd2) = (vtrn1q_f32(r2, r3), vtrn2q_f32(r2, r3));
        let columns = [
            vcombine_f32(vget_low_f32(even), vget_low_f32(even2)),
            vcombine_f32(vget_low_f32(odd), vget_low_f32(odd2)),
            vcombine_f32(vget_high_f32(even), vget_high_f32(even2)),
            vcombine_f32(vget_high_f32(odd), vget_high_f32(odd2)),
        ];
        for (i, column) in columns.into_iter().enumerate() {
            vst1q_f32(out.add(i * out_stride), column);
        }
    }
}
