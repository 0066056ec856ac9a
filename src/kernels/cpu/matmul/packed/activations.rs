//! Rows of `x` in fixed point: each block of 32 values is a power of two times whole numbers of 23
//! bits, and each number three signed parts of 8 bits, `a + 256 b + 65536 c`.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Values of a block.
pub const LEN: usize = 32;
/// Parts of a value, the lowest first.
pub const PARTS: usize = 3;

/// One block.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Block {
    /// Four neighbours to a word.
    pub parts: [[i32; LEN / 4]; PARTS],
    /// What one in the numbers stands for. Not a number where a value is not finite.
    pub scale: f32,
    /// Sum of all values.
    pub sum: f32,
    /// Minus the sum of each part.
    pub minus: [i32; PARTS],
    /// The same over the first half.
    pub minus_first: [i32; PARTS],
}

impl Block {
    pub const FLOATS: usize = size_of::<Block>() / 4;
}

/// The numbers have this many bits besides the sign: what the three parts can hold.
const BITS: u32 = 22;

/// What values are multiplied by to become whole numbers, of which the largest has [`BITS`] bits,
/// and its inverse. `largest` is that of the values' sizes, as the bits of a float.
#[inline(always)]
fn factor_and_scale(largest: u32) -> (f32, f32) {
    // Below this exponent (biased) values become zeros: they are under 2^-100 and their scale would
    // be no normal number.
    const LEAST: u32 = 27;
    const INFINITE: u32 = 0xff;
    let exponent = (largest >> 23).max(LEAST);
    let power = |exponent: u32| f32::from_bits(exponent << 23);
    // 2^(BITS - 1 - e) and its inverse, with `largest` in 2^e to 2^(e + 1).
    if exponent == INFINITE {
        (0.0, f32::NAN)
    } else {
        (
            power(BITS - 1 + 2 * 127 - exponent),
            power(exponent + 1 - BITS),
        )
    }
}

/// Turns a row of whole blocks into parts: loops that the compiler turns into whatever vectors the
/// function has that this is inlined into.
///
/// # Safety
/// `to` must have room for the row's blocks.
#[inline(always)]
pub unsafe fn split_row(row: &[f32], to: *mut Block) {
    for (i, values) in row.as_chunks::<LEN>().0.iter().enumerate() {
        // SAFETY: the caller's.
        unsafe { to.add(i).write(split(values)) };
    }
}

#[inline(always)]
fn split(values: &[f32; LEN]) -> Block {
    // Adding this rounds to a whole number of up to 22 bits and a sign, which is then in the low
    // bits.
    const ROUND: f32 = 12_582_912.0;
    let mut largest = 0;
    for value in values {
        largest = largest.max(value.to_bits() & i32::MAX as u32);
    }
    let (factor, scale) = factor_and_scale(largest);
    let mut parts = [[0i8; LEN]; PARTS];
    for (i, value) in values.iter().enumerate() {
        let rounded = (value * factor + ROUND).to_bits();
        let number = rounded.wrapping_sub(ROUND.to_bits()) as i32;
        parts[0][i] = number as i8;
        let rest = number.wrapping_sub(parts[0][i].into()) >> 8;
        parts[1][i] = rest as i8;
        parts[2][i] = (rest.wrapping_sub(parts[1][i].into()) >> 8) as i8;
    }
    let minus = |part: &[i8]| -part.iter().map(|&v| i32::from(v)).sum::<i32>();
    let whole = parts.map(|part| minus(&part));
    let sum = -(whole[0] + (whole[1] << 8) + (whole[2] << 16));
    Block {
        parts: bytemuck::cast(parts),
        scale,
        sum: sum as f32 * scale,
        minus: whole,
        minus_first: parts.map(|part| minus(&part[..LEN / 2])),
    }
}

/// As [`split_row`].
///
/// # Safety
/// `to` must have room for the row's blocks; the processor must have AVX-512 with VNNI.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
pub unsafe fn split_row_512(row: &[f32], to: *mut Block) {
    for (i, values) in row.chunks_exact(LEN).enumerate() {
        // SAFETY: the caller's.
        unsafe { to.add(i).write(split_512(values)) };
    }
}

/// # Safety
/// `values` must be a block; the processor as above.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")]
unsafe fn split_512(values: &[f32]) -> Block {
    assert!(values.len() == LEN);
    // SAFETY: 32 values by the assertion.
    let x = unsafe {
        [
            _mm512_loadu_ps(values.as_ptr()),
            _mm512_loadu_ps(values.as_ptr().add(16)),
        ]
    };
    let size = |v| _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(i32::MAX));
    let largest = _mm512_reduce_max_epu32(_mm512_max_epu32(size(x[0]), size(x[1])));
    let (factor, scale) = factor_and_scale(largest);
    let numbers = x.map(|v| _mm512_cvtps_epi32(_mm512_mul_ps(v, _mm512_set1_ps(factor))));
    let low = |v| _mm512_srai_epi32::<24>(_mm512_slli_epi32::<24>(v));
    let rest = |v, low| _mm512_srai_epi32::<8>(_mm512_sub_epi32(v, low));
    let a = numbers.map(low);
    let rests = [rest(numbers[0], a[0]), rest(numbers[1], a[1])];
    let b = rests.map(low);
    let c = [rest(rests[0], b[0]), rest(rests[1], b[1])];
    let join =
        |[x, y]: [__m512i; 2]| _mm256_set_m128i(_mm512_cvtepi32_epi8(y), _mm512_cvtepi32_epi8(x));
    let parts = [a, b, c].map(join);
    let ones = _mm256_set1_epi8(1);
    let sums = parts.map(|part| _mm256_dpbusd_epi32(_mm256_setzero_si256(), ones, part));
    let zero = _mm256_setzero_si256();
    let sums = _mm256_hadd_epi32(
        _mm256_hadd_epi32(sums[0], sums[1]),
        _mm256_hadd_epi32(sums[2], zero),
    );
    // Three sums of the first half, three of the second.
    let minus = _mm256_sub_epi32(zero, sums);
    let first = lanes(_mm256_castsi256_si128(minus));
    let second = lanes(_mm256_extracti128_si256::<1>(minus));
    let whole = [
        first[0] + second[0],
        first[1] + second[1],
        first[2] + second[2],
    ];
    let sum = -(whole[0] + (whole[1] << 8) + (whole[2] << 16));
    let mut block = Block {
        parts: [[0; LEN / 4]; PARTS],
        scale,
        sum: sum as f32 * scale,
        minus: whole,
        minus_first: [first[0], first[1], first[2]],
    };
    for (to, part) in block.parts.iter_mut().zip(parts) {
        // SAFETY: eight words.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), part) };
    }
    block
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn lanes(v: __m128i) -> [i32; 4] {
    let mut lanes = [0; 4];
    // SAFETY: four words.
    unsafe { _mm_storeu_si128(lanes.as_mut_ptr().cast(), v) };
    lanes
}
