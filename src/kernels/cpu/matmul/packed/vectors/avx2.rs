//! AVX-VNNI: half a group in a vector.

use std::arch::x86_64::*;
use std::ops::Range;

use super::Vectors;
use crate::kernels::cpu::matmul::packed::Work;
use crate::kernels::cpu::matmul::packed::activations::{Block, PARTS, split_row};
use crate::kernels::cpu::matmul::packed::formats::Format;

#[derive(Clone, Copy)]
pub struct AvxVnni;

impl Vectors for AvxVnni {
    const LANES: usize = 8;
    const SIGNED: bool = false;

    type Bytes = __m256i;
    type Ints = __m256i;
    type Floats = __m256;
    type Group = [__m256; 2];

    #[target_feature(enable = "avx2,fma")]
    unsafe fn split_row(row: &[f32], to: *mut Block) {
        // SAFETY: the caller's.
        unsafe { split_row(row, to) }
    }

    #[target_feature(enable = "avx2,avxvnni,f16c,fma")]
    unsafe fn groups<F: Format>(work: &Work<'_>, groups: Range<usize>) {
        // SAFETY: the caller's.
        unsafe { work.multiply::<Self, F>(groups) }
    }

    #[inline(always)]
    unsafe fn nothing() -> [__m256; 2] {
        // SAFETY: the caller's.
        [unsafe { _mm256_setzero_ps() }; 2]
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn sub_mul(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_fnmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn store(floats: __m256, to: *mut f32) {
        // SAFETY: the caller's.
        unsafe { _mm256_storeu_ps(to, floats) }
    }

    #[inline(always)]
    unsafe fn halves(src: *const u8) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(src.cast())) }
    }

    #[inline(always)]
    unsafe fn unsigned(src: *const u8) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(src.cast()))) }
    }

    #[inline(always)]
    unsafe fn signed(src: *const u8) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(src.cast()))) }
    }

    #[inline(always)]
    unsafe fn fetch(src: *const u8) {
        // SAFETY: the caller's.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(src.cast()) }
    }

    #[inline(always)]
    unsafe fn load(src: *const u8) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_loadu_si256(src.cast()) }
    }

    #[inline(always)]
    unsafe fn eights(src: *const u8) -> __m256i {
        // SAFETY: the caller's.
        unsafe { Self::load(src) }
    }

    #[inline(always)]
    unsafe fn nibbles(both: __m256i) -> [__m256i; 2] {
        // SAFETY: the caller's.
        unsafe {
            let mask = _mm256_set1_epi8(15);
            [
                _mm256_and_si256(both, mask),
                _mm256_and_si256(_mm256_srli_epi16::<4>(both), mask),
            ]
        }
    }

    #[inline(always)]
    unsafe fn add_fifths(levels: __m256i, bits: *const u8) -> __m256i {
        const EACH: i64 = i64::from_le_bytes([1, 2, 4, 8, 16, 32, 64, 128]);
        const ONES: i64 = 0x0101_0101_0101_0101;
        // SAFETY: the caller's.
        unsafe {
            // Byte `i` looks at bit `i % 8` of byte `i / 8`.
            let all = _mm256_set1_epi32(bits.cast::<i32>().read_unaligned());
            let from = _mm256_setr_epi64x(0, ONES, 2 * ONES, 3 * ONES);
            let each = _mm256_set1_epi64x(EACH);
            let bits = _mm256_and_si256(_mm256_shuffle_epi8(all, from), each);
            let fifths = _mm256_and_si256(_mm256_cmpeq_epi8(bits, each), _mm256_set1_epi8(16));
            _mm256_or_si256(levels, fifths)
        }
    }

    #[inline(always)]
    unsafe fn add_tops(levels: __m256i, tops: __m256i, i: usize) -> __m256i {
        // SAFETY: the caller's.
        unsafe {
            let tops = match i {
                0 => _mm256_slli_epi16::<4>(tops),
                1 => _mm256_slli_epi16::<2>(tops),
                2 => tops,
                _ => _mm256_srli_epi16::<2>(tops),
            };
            _mm256_or_si256(levels, _mm256_and_si256(tops, _mm256_set1_epi8(0x30)))
        }
    }

    #[inline(always)]
    unsafe fn ints(value: i32) -> __m256i {
        // SAFETY: the caller's.
        unsafe { _mm256_set1_epi32(value) }
    }

    #[inline(always)]
    unsafe fn add_pair(
        sum: __m256i,
        levels: [__m256i; 2],
        part: &[i32; 8],
        pair: usize,
    ) -> __m256i {
        let (first, second) = (part[2 * pair], part[2 * pair + 1]);
        // SAFETY: the caller's.
        unsafe {
            let sum = _mm256_dpbusd_avx_epi32(sum, levels[0], _mm256_set1_epi32(first));
            _mm256_dpbusd_avx_epi32(sum, levels[1], _mm256_set1_epi32(second))
        }
    }

    #[inline(always)]
    unsafe fn join([a, b, c]: [__m256i; PARTS]) -> __m256 {
        // SAFETY: the caller's.
        unsafe {
            // Below 2^29: parts 2^7, levels 2^8, 32 of them, and the second part 2^8 times as much.
            let low = _mm256_add_epi32(a, _mm256_slli_epi32::<8>(b));
            let high = _mm256_cvtepi32_ps(c);
            _mm256_fmadd_ps(high, _mm256_set1_ps(65536.0), _mm256_cvtepi32_ps(low))
        }
    }
}
