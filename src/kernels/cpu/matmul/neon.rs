//! Rows of weights with NEON: 32 weights at a time are expanded in registers.

use std::arch::aarch64::*;

use super::{by_quantised, quantised_rows};
use crate::engine::DType;
use crate::engine::view::Mat;
use crate::kernels::quant::{dequantize_row_inline, scales_of, zero_of};

/// Weights expanded at once.
const BLOCK: usize = 32;
/// Vectors of a block.
const VECTORS: usize = BLOCK / 4;

/// Rows of `x` multiplied at once: their sums stay in registers.
const AT_ONCE: usize = 4;
/// Chains of additions for each row of `x`: enough to hide how long one takes.
const CHAINS: usize = 4;

quantised_rows!("neon", 4, vst1q_f32);

/// # Safety
/// `row` must be whole blocks and each `x` have as many values.
#[inline(always)]
unsafe fn few_dots<const M: usize>(dtype: DType, row: &[u8], x: [&[f32]; M]) -> [f32; M] {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[vdupq_n_f32(0.0); CHAINS]; M];
        let mut at = 0;
        for block in row.chunks_exact(dtype.block_bytes()) {
            for j in 0..dtype.block_len() / BLOCK {
                let weights = weights(dtype, block, j);
                for m in 0..M {
                    for (i, weight) in weights.iter().enumerate() {
                        let x = vld1q_f32(x[m].as_ptr().add(at + 4 * i));
                        let sum = &mut sums[m][i % CHAINS];
                        *sum = vfmaq_f32(*sum, *weight, x);
                    }
                }
                at += BLOCK;
            }
        }
        let mut dots = [0.0; M];
        for (dot, [a, b, c, d]) in dots.iter_mut().zip(sums) {
            *dot = vaddvq_f32(vaddq_f32(vaddq_f32(a, b), vaddq_f32(c, d)));
        }
        dots
    }
}

/// The weights `32 j` to `32 j + 31` of a block, bit for bit what the reference gives.
///
/// # Safety
/// `block` must be a whole block of the type and have these weights.
#[inline(always)]
unsafe fn weights(dtype: DType, block: &[u8], j: usize) -> [float32x4_t; VECTORS] {
    let (scales, offset) = scales_of(dtype, block, j);
    // SAFETY: the caller's.
    unsafe {
        let (zero, offset) = (vdupq_n_u8(zero_of(dtype)), vdupq_n_f32(offset));
        let mut weights = [offset; VECTORS];
        for half in 0..2 {
            let levels = vsubq_u8(levels(dtype, block.as_ptr(), j, half), zero);
            let levels = vreinterpretq_s8_u8(levels);
            let wide = [vmovl_s8(vget_low_s8(levels)), vmovl_high_s8(levels)];
            for (i, wide) in wide.into_iter().enumerate() {
                let wider = [vmovl_s16(vget_low_s16(wide)), vmovl_high_s16(wide)];
                for (k, wider) in wider.into_iter().enumerate() {
                    let level = vcvtq_f32_s32(wider);
                    weights[4 * half + 2 * i + k] = vfmaq_n_f32(offset, level, scales[half]);
                }
            }
        }
        weights
    }
}

/// The levels of half of the weights `32 j` to `32 j + 31` as unsigned bytes; the signed ones of
/// Q8_0 plus 128.
///
/// # Safety
/// As for [`weights`].
#[inline(always)]
unsafe fn levels(dtype: DType, b: *const u8, j: usize, half: usize) -> uint8x16_t {
    // SAFETY: inside the block by its layout.
    unsafe {
        let bytes = |at: usize| vld1q_u8(b.add(at));
        let first = 16 * half;
        // The low halves of 16 bytes, or the high ones.
        let nibbles = |at: usize| bits(bytes(at), 4 * half, 15);
        match dtype {
            DType::Q8_0 => veorq_u8(bytes(2 + first), vdupq_n_u8(0x80)),
            DType::Q4_0 => nibbles(2),
            DType::Q4_1 => nibbles(4),
            DType::Q5_0 => vorrq_u8(nibbles(6), fifths(b.add(2 + 2 * half))),
            DType::Q5_1 => vorrq_u8(nibbles(8), fifths(b.add(4 + 2 * half))),
            DType::Q4_K => bits(bytes(16 + j / 2 * 32 + first), j % 2 * 4, 15),
            DType::Q5_K => {
                let fifth = bits(bytes(16 + first), j, 1);
                let low = bits(bytes(48 + j / 2 * 32 + first), j % 2 * 4, 15);
                vorrq_u8(low, vshlq_n_u8::<4>(fifth))
            }
            _ => {
                let (part, quarter) = (j / 4, j % 4);
                let low = bytes(part * 64 + quarter % 2 * 32 + first);
                let top = bits(bytes(128 + part * 32 + first), 2 * quarter, 3);
                let low = bits(low, quarter / 2 * 4, 15);
                vorrq_u8(low, vshlq_n_u8::<4>(top))
            }
        }
    }
}

/// Bits `from` on of each byte, as many as `mask` has.
#[inline(always)]
fn bits(bytes: uint8x16_t, from: usize, mask: u8) -> uint8x16_t {
    // SAFETY: every processor of this architecture has NEON.
    unsafe { vandq_u8(vshlq_u8(bytes, vdupq_n_s8(-(from as i8))), vdupq_n_u8(mask)) }
}

/// 16 for each of 16 bits that is set, from the lowest on.
///
/// # Safety
/// `src` must have 2 bytes.
#[inline(always)]
pub unsafe fn fifths(src: *const u8) -> uint8x16_t {
    // Byte `i` looks at bit `i % 8` of byte `i / 8`.
    const EACH: u64 = u64::from_le_bytes([1, 2, 4, 8, 16, 32, 64, 128]);
    // SAFETY: the caller's.
    unsafe {
        let all = vcombine_u8(vdup_n_u8(*src), vdup_n_u8(*src.add(1)));
        let each = vreinterpretq_u8_u64(vdupq_n_u64(EACH));
        vandq_u8(vtstq_u8(all, each), vdupq_n_u8(16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::matmul::tests::random_weight;
    use crate::kernels::quant::dequantize_row;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn expands_as_the_reference(seed: u64, blocks in 1usize..5) {
            for dtype in DType::WEIGHTS {
                let len = blocks * dtype.block_len();
                let row = random_weight(dtype, 1, len, seed);
                let (mut expected, mut got) = (vec![0f32; len], vec![0f32; len]);
                dequantize_row(dtype, &row, &mut expected);
                // SAFETY: every processor of this architecture has NEON.
                unsafe { expand(dtype, &row, &mut got) };
                prop_assert_eq!(&expected, &got, "{}", dtype);
            }
        }
    }
}
