//! Rows of weights with AVX2: 32 weights at a time are expanded in registers.

use std::arch::x86_64::*;

use super::{by_quantised, quantised_rows};
use crate::engine::DType;
use crate::engine::view::Mat;
use crate::kernels::quant::{dequantize_row_inline, scales_of, zero_of};

/// Weights expanded at once.
const BLOCK: usize = 32;

/// Rows of `x` multiplied at once: their sums stay in registers.
const AT_ONCE: usize = 4;

quantised_rows!("avx2,fma,f16c", 8, _mm256_storeu_ps);

// The functions below are inlined into those that name the instructions: one that names them itself
// may be left a call, which passes vectors through memory.

/// # Safety
/// `row` must be whole blocks and each `x` have as many values; the processor AVX2 and FMA.
#[inline(always)]
unsafe fn few_dots<const M: usize>(dtype: DType, row: &[u8], x: [&[f32]; M]) -> [f32; M] {
    // Fetch what later rows will need, since the hardware stops at the end of a page.
    const AHEAD: usize = 8 << 10;
    // SAFETY: the caller's.
    unsafe {
        // Two chains for each row of `x`: with four rows enough to hide how long an addition takes.
        let mut sums = [[_mm256_setzero_ps(); 2]; M];
        let mut at = 0;
        for block in row.chunks_exact(dtype.block_bytes()) {
            // A prefetch may name any address.
            _mm_prefetch::<_MM_HINT_T0>(block.as_ptr().wrapping_add(AHEAD).cast());
            for j in 0..dtype.block_len() / BLOCK {
                let weights = weights(dtype, block, j);
                for m in 0..M {
                    for (i, weight) in weights.iter().enumerate() {
                        let x = _mm256_loadu_ps(x[m].as_ptr().add(at + 8 * i));
                        sums[m][i % 2] = _mm256_fmadd_ps(*weight, x, sums[m][i % 2]);
                    }
                }
                at += BLOCK;
            }
        }
        let mut dots = [0.0; M];
        for (dot, [even, odd]) in dots.iter_mut().zip(sums) {
            *dot = sum(_mm256_add_ps(even, odd));
        }
        dots
    }
}

/// The weights `32 j` to `32 j + 31` of a block, bit for bit what the reference gives.
///
/// # Safety
/// `block` must be a whole block of the type and have these weights; the processor as above.
#[inline(always)]
unsafe fn weights(dtype: DType, block: &[u8], j: usize) -> [__m256; 4] {
    let (scales, offset) = scales_of(dtype, block, j);
    // SAFETY: the caller's.
    unsafe {
        let levels = levels(dtype, block.as_ptr(), j);
        let levels = _mm256_sub_epi8(levels, _mm256_set1_epi8(zero_of(dtype) as i8));
        let first = _mm256_castsi256_si128(levels);
        let second = _mm256_extracti128_si256::<1>(levels);
        let offset = _mm256_set1_ps(offset);
        let scales = [_mm256_set1_ps(scales[0]), _mm256_set1_ps(scales[1])];
        [
            _mm256_fmadd_ps(floats(first), scales[0], offset),
            _mm256_fmadd_ps(floats(_mm_srli_si128::<8>(first)), scales[0], offset),
            _mm256_fmadd_ps(floats(second), scales[1], offset),
            _mm256_fmadd_ps(floats(_mm_srli_si128::<8>(second)), scales[1], offset),
        ]
    }
}

/// The lower eight signed bytes.
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
unsafe fn floats(bytes: __m128i) -> __m256 {
    // SAFETY: the caller's.
    unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)) }
}

/// The levels of the weights `32 j` to `32 j + 31` as unsigned bytes; the signed ones of Q8_0 plus
/// 128.
///
/// # Safety
/// As for [`weights`].
#[inline(always)]
unsafe fn levels(dtype: DType, b: *const u8, j: usize) -> __m256i {
    // SAFETY: inside the block by its layout.
    unsafe {
        let bytes = |at: usize| _mm256_loadu_si256(b.add(at).cast());
        match dtype {
            DType::Q8_0 => _mm256_xor_si256(bytes(2), _mm256_set1_epi8(i8::MIN)),
            DType::Q4_0 => nibbles(b.add(2)),
            DType::Q4_1 => nibbles(b.add(4)),
            DType::Q5_0 => _mm256_or_si256(nibbles(b.add(6)), fifths(b.add(2))),
            DType::Q5_1 => _mm256_or_si256(nibbles(b.add(8)), fifths(b.add(4))),
            DType::Q4_K => bits(bytes(16 + j / 2 * 32), j % 2 * 4, 15),
            DType::Q5_K => {
                let fifth = bits(bytes(16), j, 1);
                let low = bits(bytes(48 + j / 2 * 32), j % 2 * 4, 15);
                _mm256_or_si256(low, _mm256_slli_epi16::<4>(fifth))
            }
            _ => {
                let (half, quarter) = (j / 4, j % 4);
                let low = bytes(half * 64 + quarter % 2 * 32);
                let top = bits(bytes(128 + half * 32), 2 * quarter, 3);
                let low = bits(low, quarter / 2 * 4, 15);
                _mm256_or_si256(low, _mm256_slli_epi16::<4>(top))
            }
        }
    }
}

/// Bits `from` on of each byte, as many as `mask` has.
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
unsafe fn bits(bytes: __m256i, from: usize, mask: i8) -> __m256i {
    // SAFETY: the caller's.
    unsafe {
        let shifted = _mm256_srl_epi16(bytes, _mm_cvtsi32_si128(from as i32));
        _mm256_and_si256(shifted, _mm256_set1_epi8(mask))
    }
}

/// The low halves of 16 bytes, then the high ones.
///
/// # Safety
/// `src` must have 16 bytes; the processor as above.
#[inline(always)]
unsafe fn nibbles(src: *const u8) -> __m256i {
    // SAFETY: the caller's.
    unsafe {
        let packed = _mm_loadu_si128(src.cast());
        let both = _mm256_set_m128i(_mm_srli_epi16::<4>(packed), packed);
        _mm256_and_si256(both, _mm256_set1_epi8(15))
    }
}

/// 16 for each of 32 bits that is set, from the lowest on.
///
/// # Safety
/// `src` must have 4 bytes; the processor as above.
#[inline(always)]
unsafe fn fifths(src: *const u8) -> __m256i {
    // Byte `i` looks at bit `i % 8` of byte `i / 8`.
    const EACH: i64 = i64::from_le_bytes([1, 2, 4, 8, 16, 32, 64, 128]);
    const ONES: i64 = 0x0101_0101_0101_0101;
    // SAFETY: the caller's.
    unsafe {
        let all = _mm256_set1_epi32(src.cast::<i32>().read_unaligned());
        let from = _mm256_setr_epi64x(0, ONES, 2 * ONES, 3 * ONES);
        let each = _mm256_set1_epi64x(EACH);
        let bits = _mm256_and_si256(_mm256_shuffle_epi8(all, from), each);
        _mm256_and_si256(_mm256_cmpeq_epi8(bits, each), _mm256_set1_epi8(16))
    }
}

/// The sum of all lanes.
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
unsafe fn sum(v: __m256) -> f32 {
    // SAFETY: the caller's.
    unsafe {
        let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
        _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::cpu::Simd;
    use crate::kernels::cpu::matmul::tests::random_weight;
    use crate::kernels::quant::dequantize_row;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn expands_as_the_reference(seed: u64, blocks in 1usize..5) {
            if !Simd::supported().contains(&Simd::Avx2) {
                return Ok(());
            }
            for dtype in DType::WEIGHTS {
                let len = blocks * dtype.block_len();
                let row = random_weight(dtype, 1, len, seed);
                let (mut expected, mut got) = (vec![0f32; len], vec![0f32; len]);
                dequantize_row(dtype, &row, &mut expected);
                // SAFETY: the processor has AVX2.
                unsafe { expand(dtype, &row, &mut got) };
                prop_assert_eq!(&expected, &got, "{}", dtype);
            }
        }
    }
}
