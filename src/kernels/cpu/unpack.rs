//! Weight blocks into vectors of 16 floats (AVX-512), bit for bit what the reference
//! dequantisation gives: a scale times a quant is exact in `f32`, so fusing the addition of the
//! minimum changes nothing.

mod k_blocks;

use std::arch::x86_64::*;

#[cfg(test)]
use crate::engine::DType;

/// One weight format.
pub trait Unpack {
    /// Weights that `step` expands, a multiple of 16.
    const LEN: usize;
    /// Bytes they take.
    const BYTES: usize;

    /// Expands `LEN` weights: `sink(i, v)` gets weights `16 * i` to `16 * i + 15`.
    ///
    /// # Safety
    /// `src` must have `BYTES` readable bytes, and the processor AVX-512 F, BW, DQ and VL.
    unsafe fn step(src: *const u8, sink: impl FnMut(usize, __m512));

    /// Whether the scales are better read ahead, many at a time: blocks of 32 weights.
    const SCALES_AHEAD: bool = false;

    /// As `step`, with the block's scale and minimum as [`scales`] read them.
    ///
    /// # Safety
    /// As for `step`; each pointer leads a float.
    #[inline(always)]
    unsafe fn scaled(
        src: *const u8,
        _scale: *const f32,
        _min: *const f32,
        sink: impl FnMut(usize, __m512),
    ) {
        // SAFETY: the caller's.
        unsafe { Self::step(src, sink) }
    }

    /// Expands the last `n < 16` weights of a row whose length is no multiple of 16, and zeros.
    ///
    /// # Safety
    /// `src` must have the bytes of `n` weights; the processor as above.
    #[inline(always)]
    unsafe fn tail(_src: *const u8, _n: usize) -> __m512 {
        unreachable!("rows of quantised weights are whole blocks")
    }
}

/// Calls a generic function with the type that unpacks `$dtype`.
macro_rules! with_format {
    ($dtype:expr, $format:ident => $call:expr) => {{
        use $crate::kernels::cpu::unpack as formats;
        match $dtype {
            DType::F32 => {
                type $format = formats::F32;
                $call
            }
            DType::F16 => {
                type $format = formats::F16;
                $call
            }
            DType::BF16 => {
                type $format = formats::Bf16;
                $call
            }
            DType::Q8_0 => {
                type $format = formats::Q8_0;
                $call
            }
            DType::Q4_0 => {
                type $format = formats::Q4_0;
                $call
            }
            DType::Q4_1 => {
                type $format = formats::Q4_1;
                $call
            }
            DType::Q5_0 => {
                type $format = formats::Q5_0;
                $call
            }
            DType::Q5_1 => {
                type $format = formats::Q5_1;
                $call
            }
            DType::Q4_K => {
                type $format = formats::Q4K;
                $call
            }
            DType::Q5_K => {
                type $format = formats::Q5K;
                $call
            }
            DType::Q6_K => {
                type $format = formats::Q6K;
                $call
            }
            DType::U32 => unreachable!("integers are not weights"),
        }
    }};
}
pub(super) use with_format;

/// Expands the row at `src` into `out`.
///
/// # Safety
/// `src` must hold the row; the processor must have AVX-512 F, BW, DQ and VL.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,f16c,fma")]
pub unsafe fn unpack_row<U: Unpack>(src: *const u8, out: &mut [f32]) {
    let (steps, rest) = (out.len() / U::LEN, out.len() % U::LEN);
    let to = out.as_mut_ptr();
    // SAFETY: every step reads and writes its own part of the row.
    unsafe {
        for s in 0..steps {
            let to = to.add(s * U::LEN);
            U::step(src.add(s * U::BYTES), |i, v| {
                _mm512_storeu_ps(to.add(16 * i), v)
            });
        }
        if rest > 0 {
            let v = U::tail(src.add(steps * U::BYTES), rest);
            _mm512_mask_storeu_ps(to.add(steps * U::LEN), first(rest), v);
        }
    }
}

/// Expands a row of any type.
///
/// # Safety
/// As for [`unpack_row`].
#[cfg(test)]
pub unsafe fn unpack_any(dtype: DType, src: *const u8, out: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { with_format!(dtype, U => unpack_row::<U>(src, out)) }
}

/// Reads the scales and minima of `blocks` blocks that follow one another. Converting them one at
/// a time would take as long as expanding the weights. Types without minima leave garbage there.
///
/// # Safety
/// The blocks must be there, and room for `blocks` rounded up to 16 results; the processor as
/// above.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,f16c")]
pub unsafe fn scales<U: Unpack>(src: *const u8, blocks: usize, scale: *mut f32, min: *mut f32) {
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let offsets = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(U::BYTES as i32));
    for at in (0..blocks).step_by(16) {
        let mask = first((blocks - at).min(16));
        // SAFETY: the caller's; lanes that are masked out read nothing.
        unsafe {
            let src = src.add(at * U::BYTES).cast();
            let both = _mm512_mask_i32gather_epi32::<1>(_mm512_setzero_si512(), mask, offsets, src);
            let high = _mm512_srli_epi32::<16>(both);
            let widen = |v| _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v));
            _mm512_storeu_ps(scale.add(at), widen(both));
            _mm512_storeu_ps(min.add(at), widen(high));
        }
    }
}

/// A mask of the first `n <= 16` lanes.
pub fn first(n: usize) -> __mmask16 {
    ((1u32 << n) - 1) as __mmask16
}

// The functions below are inlined into callers that have the instructions, so they need not name
// them, and the closures they call stay in registers.

pub struct F32;
pub struct F16;
pub struct Bf16;
pub struct Q8_0;
pub struct Q4_0;
pub struct Q4_1;
pub struct Q5_0;
pub struct Q5_1;
pub struct Q4K;
pub struct Q5K;
pub struct Q6K;

/// The `f16` at `src`.
#[inline(always)]
unsafe fn half(src: *const u8) -> f32 {
    // SAFETY: the caller's.
    unsafe {
        let bits = src.cast::<i16>().read_unaligned();
        _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(bits))))
    }
}

/// 0, 1, … 15.
#[inline(always)]
unsafe fn iota() -> __m512 {
    // SAFETY: the caller's.
    unsafe {
        _mm512_setr_ps(
            0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0,
        )
    }
}

/// 16 bytes, one in each lane.
#[inline(always)]
unsafe fn bytes(src: *const u8) -> __m512i {
    // SAFETY: the caller's.
    unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(src.cast())) }
}

impl Unpack for F32 {
    const LEN: usize = 16;
    const BYTES: usize = 64;

    #[inline(always)]
    unsafe fn step(src: *const u8, mut sink: impl FnMut(usize, __m512)) {
        // SAFETY: the caller's.
        unsafe {
            sink(0, _mm512_loadu_ps(src.cast()));
        }
    }

    #[inline(always)]
    unsafe fn tail(src: *const u8, n: usize) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_maskz_loadu_ps(first(n), src.cast()) }
    }
}

impl Unpack for F16 {
    const LEN: usize = 16;
    const BYTES: usize = 32;

    #[inline(always)]
    unsafe fn step(src: *const u8, mut sink: impl FnMut(usize, __m512)) {
        // SAFETY: the caller's.
        unsafe {
            sink(0, _mm512_cvtph_ps(_mm256_loadu_si256(src.cast())));
        }
    }

    #[inline(always)]
    unsafe fn tail(src: *const u8, n: usize) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), src.cast())) }
    }
}

#[inline(always)]
unsafe fn widen_bf16(bits: __m256i) -> __m512 {
    // SAFETY: the caller's.
    unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits))) }
}

impl Unpack for Bf16 {
    const LEN: usize = 16;
    const BYTES: usize = 32;

    #[inline(always)]
    unsafe fn step(src: *const u8, mut sink: impl FnMut(usize, __m512)) {
        // SAFETY: the caller's.
        unsafe {
            sink(0, widen_bf16(_mm256_loadu_si256(src.cast())));
        }
    }

    #[inline(always)]
    unsafe fn tail(src: *const u8, n: usize) -> __m512 {
        // SAFETY: the caller's.
        unsafe { widen_bf16(_mm256_maskz_loadu_epi16(first(n), src.cast())) }
    }
}

impl Unpack for Q8_0 {
    const LEN: usize = 32;
    const BYTES: usize = 34;
    const SCALES_AHEAD: bool = true;

    #[inline(always)]
    unsafe fn step(src: *const u8, sink: impl FnMut(usize, __m512)) {
        // SAFETY: the caller's.
        unsafe { Self::scaled(src, &half(src), &0.0, sink) }
    }

    #[inline(always)]
    unsafe fn scaled(
        src: *const u8,
        scale: *const f32,
        _min: *const f32,
        mut sink: impl FnMut(usize, __m512),
    ) {
        // SAFETY: the caller's.
        unsafe {
            let d = _mm512_set1_ps(*scale);
            for i in 0..2 {
                let q = _mm512_cvtepi8_epi32(_mm_loadu_si128(src.add(2 + 16 * i).cast()));
                sink(i, _mm512_mul_ps(d, _mm512_cvtepi32_ps(q)));
            }
        }
    }
}

/// 32 weights of 4 bits, looked up in the table of their 16 values.
#[inline(always)]
unsafe fn nibbles(src: *const u8, table: __m512, mut sink: impl FnMut(usize, __m512)) {
    // SAFETY: the caller's.
    unsafe {
        // A look-up reads the low four bits of its index only.
        let q = bytes(src);
        sink(0, _mm512_permutexvar_ps(q, table));
        sink(1, _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(q), table));
    }
}

impl Unpack for Q4_0 {
    const LEN: usize = 32;
    const BYTES: usize = 18;
    const SCALES_AHEAD: bool = true;

    #[inline(always)]
    unsafe fn step(src: *const u8, sink: impl FnMut(usize, __m512)) {
        // SAFETY: the caller's.
        unsafe { Self::scaled(src, &half(src), &0.0, sink) }
    }

    #[inline(always)]
    unsafe fn scaled(
        src: *const u8,
        scale: *const f32,
        _min: *const f32,
        sink: impl FnMut(usize, __m512),
    ) {
        // SAFETY: the caller's.
        unsafe {
            let table = _mm512_mul_ps(
                _mm512_set1_ps(*scale),
                _mm512_sub_ps(iota(), _mm512_set1_ps(8.0)),
            );
            nibbles(src.add(2), table, sink);
        }
    }
}

impl Unpack for Q4_1 {
    const LEN: usize = 32;
    const BYTES: usize = 20;
    const SCALES_AHEAD: bool = true;

    #[inline(always)]
    unsafe fn step(src: *const u8, sink: impl FnMut(usize, __m512)) {
        // SAFETY: the caller's.
        unsafe { Self::scaled(src, &half(src), &half(src.add(2)), sink) }
    }

    #[inline(always)]
    unsafe fn scaled(
        src: *const u8,
        scale: *const f32,
        min: *const f32,
        sink: impl FnMut(usize, __m512),
    ) {
        // SAFETY: the caller's.
        unsafe {
            let table = _mm512_fmadd_ps(_mm512_set1_ps(*scale), iota(), _mm512_set1_ps(*min));
            nibbles(src.add(4), table, sink);
        }
    }
}

/// As [`nibbles`], with the fifth bit of weight `i` in bit `i` of `high` choosing the table.
#[inline(always)]
unsafe fn fives(
    src: *const u8,
    high: u32,
    low: __m512,
    upper: __m512,
    mut sink: impl FnMut(usize, __m512),
) {
    // SAFETY: the caller's.
    unsafe {
        let q = bytes(src);
        let v = _mm512_permutexvar_ps(q, low);
        sink(0, _mm512_mask_permutexvar_ps(v, high as u16, q, upper));
        let q = _mm512_srli_epi32::<4>(q);
        let v = _mm512_permutexvar_ps(q, low);
        sink(
            1,
            _mm512_mask_permutexvar_ps(v, (high >> 16) as u16, q, upper),
        );
    }
}

impl Unpack for Q5_0 {
    const LEN: usize = 32;
    const BYTES: usize = 22;
    const SCALES_AHEAD: bool = true;

    #[inline(always)]
    unsafe fn step(src: *const u8, sink: impl FnMut(usize, __m512)) {
        // SAFETY: the caller's.
        unsafe { Self::scaled(src, &half(src), &0.0, sink) }
    }

    #[inline(always)]
    unsafe fn scaled(
        src: *const u8,
        scale: *const f32,
        _min: *const f32,
        sink: impl FnMut(usize, __m512),
    ) {
        // SAFETY: the caller's.
        unsafe {
            let (d, high) = (
                _mm512_set1_ps(*scale),
                src.add(2).cast::<u32>().read_unaligned(),
            );
            let low = _mm512_mul_ps(d, _mm512_sub_ps(iota(), _mm512_set1_ps(16.0)));
            fives(src.add(6), high, low, _mm512_mul_ps(d, iota()), sink);
        }
    }
}

impl Unpack for Q5_1 {
    const LEN: usize = 32;
    const BYTES: usize = 24;
    const SCALES_AHEAD: bool = true;

    #[inline(always)]
    unsafe fn step(src: *const u8, sink: impl FnMut(usize, __m512)) {
        // SAFETY: the caller's.
        unsafe { Self::scaled(src, &half(src), &half(src.add(2)), sink) }
    }

    #[inline(always)]
    unsafe fn scaled(
        src: *const u8,
        scale: *const f32,
        min: *const f32,
        sink: impl FnMut(usize, __m512),
    ) {
        // SAFETY: the caller's.
        unsafe {
            let (d, m) = (_mm512_set1_ps(*scale), _mm512_set1_ps(*min));
            let high = src.add(4).cast::<u32>().read_unaligned();
            let upper = _mm512_add_ps(iota(), _mm512_set1_ps(16.0));
            fives(
                src.add(8),
                high,
                _mm512_fmadd_ps(d, iota(), m),
                _mm512_fmadd_ps(d, upper, m),
                sink,
            );
        }
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
        fn unpacks_as_the_reference(seed: u64, blocks in 1usize..5, odd in 0usize..16) {
            if !Simd::supported().contains(&Simd::Avx512) {
                return Ok(());
            }
            for dtype in DType::WEIGHTS {
                let len = blocks * dtype.block_len() + if dtype.is_plain() { odd } else { 0 };
                let row = random_weight(dtype, 1, len, seed);
                let (mut expected, mut got) = (vec![0f32; len], vec![0f32; len]);
                dequantize_row(dtype, &row, &mut expected);
                // SAFETY: the row is whole and the processor has AVX-512.
                unsafe { unpack_any(dtype, row.as_ptr(), &mut got) };
                prop_assert_eq!(&expected, &got, "{}", dtype);
            }
        }
    }
}
