//! AVX-512 VNNI: a whole group in a vector.

use std::arch::x86_64::*;
use std::ops::Range;

use super::Vectors;
use crate::kernels::cpu::matmul::packed::Work;
use crate::kernels::cpu::matmul::packed::activations::{Block, PARTS, split_row_512};
use crate::kernels::cpu::matmul::packed::formats::Format;

#[derive(Clone, Copy)]
pub struct Vnni;

impl Vectors for Vnni {
    const LANES: usize = 16;
    const SIGNED: bool = false;

    type Bytes = __m512i;
    type Ints = __m512i;
    type Floats = __m512;
    type Group = [__m512; 1];

    unsafe fn split_row(row: &[f32], to: *mut Block) {
        // SAFETY: the caller's.
        unsafe { split_row_512(row, to) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,f16c,fma")]
    unsafe fn groups<F: Format>(work: &Work<'_>, groups: Range<usize>) {
        // SAFETY: the caller's.
        unsafe { work.multiply::<Self, F>(groups) }
    }

    #[inline(always)]
    unsafe fn nothing() -> [__m512; 1] {
        // SAFETY: the caller's.
        [unsafe { _mm512_setzero_ps() }; 1]
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn sub_mul(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn store(floats: __m512, to: *mut f32) {
        // SAFETY: the caller's.
        unsafe { _mm512_storeu_ps(to, floats) }
    }

    #[inline(always)]
    unsafe fn halves(src: *const u8) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(src.cast())) }
    }

    #[inline(always)]
    unsafe fn unsigned(src: *const u8) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(src.cast()))) }
    }

    #[inline(always)]
    unsafe fn signed(src: *const u8) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(src.cast()))) }
    }

    #[inline(always)]
    unsafe fn fetch(src: *const u8) {
        // SAFETY: the caller's.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(src.cast()) }
    }

    #[inline(always)]
    unsafe fn load(src: *const u8) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_loadu_si512(src.cast()) }
    }

    #[inline(always)]
    unsafe fn eights(src: *const u8) -> __m512i {
        // SAFETY: the caller's.
        unsafe { Self::load(src) }
    }

    #[inline(always)]
    unsafe fn nibbles(both: __m512i) -> [__m512i; 2] {
        // SAFETY: the caller's.
        unsafe {
            let mask = _mm512_set1_epi8(15);
            [
                _mm512_and_si512(both, mask),
                _mm512_and_si512(_mm512_srli_epi16::<4>(both), mask),
            ]
        }
    }

    #[inline(always)]
    unsafe fn add_fifths(levels: __m512i, bits: *const u8) -> __m512i {
        // SAFETY: the caller's.
        unsafe {
            let bits = bits.cast::<u64>().read_unaligned();
            _mm512_mask_add_epi8(levels, bits, levels, _mm512_set1_epi8(16))
        }
    }

    #[inline(always)]
    unsafe fn add_tops(levels: __m512i, tops: __m512i, i: usize) -> __m512i {
        // SAFETY: the caller's.
        unsafe {
            let tops = match i {
                0 => _mm512_slli_epi16::<4>(tops),
                1 => _mm512_slli_epi16::<2>(tops),
                2 => tops,
                _ => _mm512_srli_epi16::<2>(tops),
            };
            // `levels | (tops & mask)`
            _mm512_ternarylogic_epi32::<0xf8>(levels, tops, _mm512_set1_epi8(0x30))
        }
    }

    #[inline(always)]
    unsafe fn ints(value: i32) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    unsafe fn add_pair(
        sum: __m512i,
        levels: [__m512i; 2],
        part: &[i32; 8],
        pair: usize,
    ) -> __m512i {
        let (first, second) = (part[2 * pair], part[2 * pair + 1]);
        // SAFETY: the caller's.
        unsafe {
            let sum = _mm512_dpbusd_epi32(sum, levels[0], _mm512_set1_epi32(first));
            _mm512_dpbusd_epi32(sum, levels[1], _mm512_set1_epi32(second))
        }
    }

    #[inline(always)]
    unsafe fn join([a, b, c]: [__m512i; PARTS]) -> __m512 {
        // SAFETY: the caller's.
        unsafe {
            // Below 2^29: parts 2^7, levels 2^8, 32 of them, and the second part 2^8 times as much.
            let low = _mm512_add_epi32(a, _mm512_slli_epi32::<8>(b));
            let high = _mm512_cvtepi32_ps(c);
            _mm512_fmadd_ps(high, _mm512_set1_ps(65536.0), _mm512_cvtepi32_ps(low))
        }
    }
}
