//! The formats of 256 weights a block, whose scales are quantised too.

use std::arch::x86_64::*;

use super::{Q4K, Q5K, Q6K, Unpack, bytes, half, iota};

/// Eight bytes as floats.
#[inline(always)]
unsafe fn widen(bytes: u64) -> __m256 {
    // SAFETY: the caller's.
    unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(bytes as i64))) }
}

/// `scale * quants - min`
#[inline(always)]
unsafe fn table(scale: f32, quants: __m512, min: f32) -> __m512 {
    // SAFETY: the caller's.
    unsafe { _mm512_fmsub_ps(_mm512_set1_ps(scale), quants, _mm512_set1_ps(min)) }
}

/// The eight scales and minima of a `K` block, from 12 bytes of six bits each.
#[inline(always)]
unsafe fn k_scales(src: *const u8) -> ([f32; 8], [f32; 8]) {
    // SAFETY: the caller's.
    unsafe {
        let [a, b, c] = src.add(4).cast::<[u32; 3]>().read_unaligned();
        let scales = u64::from(a & 0x3f3f_3f3f)
            | u64::from((c & 0x0f0f_0f0f) | ((a >> 6 & 0x0303_0303) << 4)) << 32;
        let mins = u64::from(b & 0x3f3f_3f3f)
            | u64::from((c >> 4 & 0x0f0f_0f0f) | ((b >> 6 & 0x0303_0303) << 4)) << 32;
        let (d, dmin) = (half(src), half(src.add(2)));
        let (mut s, mut m) = ([0f32; 8], [0f32; 8]);
        _mm256_storeu_ps(
            s.as_mut_ptr(),
            _mm256_mul_ps(_mm256_set1_ps(d), widen(scales)),
        );
        _mm256_storeu_ps(
            m.as_mut_ptr(),
            _mm256_mul_ps(_mm256_set1_ps(dmin), widen(mins)),
        );
        (s, m)
    }
}

impl Unpack for Q4K {
    const LEN: usize = 256;
    const BYTES: usize = 144;

    #[inline(always)]
    unsafe fn step(src: *const u8, mut sink: impl FnMut(usize, __m512)) {
        // SAFETY: the caller's.
        unsafe {
            let (s, m) = k_scales(src);
            for i in 0..4 {
                let even = table(s[2 * i], iota(), m[2 * i]);
                let odd = table(s[2 * i + 1], iota(), m[2 * i + 1]);
                for half in 0..2 {
                    let q = bytes(src.add(16 + 32 * i + 16 * half));
                    sink(4 * i + half, _mm512_permutexvar_ps(q, even));
                    let q = _mm512_srli_epi32::<4>(q);
                    sink(4 * i + 2 + half, _mm512_permutexvar_ps(q, odd));
                }
            }
        }
    }
}

impl Unpack for Q5K {
    const LEN: usize = 256;
    const BYTES: usize = 176;

    #[inline(always)]
    unsafe fn step(src: *const u8, mut sink: impl FnMut(usize, __m512)) {
        // SAFETY: the caller's.
        unsafe {
            let (s, m) = k_scales(src);
            let upper = _mm512_add_ps(iota(), _mm512_set1_ps(16.0));
            let high = [bytes(src.add(16)), bytes(src.add(32))];
            for j in 0..8 {
                let (low, upper) = (table(s[j], iota(), m[j]), table(s[j], upper, m[j]));
                for (half, &high) in high.iter().enumerate() {
                    let q = bytes(src.add(48 + 32 * (j / 2) + 16 * half));
                    let q = if j % 2 == 0 {
                        q
                    } else {
                        _mm512_srli_epi32::<4>(q)
                    };
                    let fifth = _mm512_test_epi32_mask(high, _mm512_set1_epi32(1 << j));
                    let v = _mm512_permutexvar_ps(q, low);
                    sink(2 * j + half, _mm512_mask_permutexvar_ps(v, fifth, q, upper));
                }
            }
        }
    }
}

impl Unpack for Q6K {
    const LEN: usize = 256;
    const BYTES: usize = 210;

    #[inline(always)]
    unsafe fn step(src: *const u8, mut sink: impl FnMut(usize, __m512)) {
        // SAFETY: the caller's.
        unsafe {
            let mut scales = [0f32; 16];
            let d = _mm512_set1_ps(half(src.add(208)));
            let s = _mm512_cvtepi8_epi32(_mm_loadu_si128(src.add(192).cast()));
            _mm512_storeu_ps(scales.as_mut_ptr(), _mm512_mul_ps(d, _mm512_cvtepi32_ps(s)));
            for (i, &scale) in scales.iter().enumerate() {
                let (part, quarter, lane) = (i / 8, i % 8 / 2, 16 * (i % 2));
                let low = bytes(src.add(64 * part + 32 * (quarter % 2) + lane));
                let low = if quarter < 2 {
                    low
                } else {
                    _mm512_srli_epi32::<4>(low)
                };
                let top = bytes(src.add(128 + 32 * part + lane));
                let top = match quarter {
                    0 => _mm512_slli_epi32::<4>(top),
                    1 => _mm512_slli_epi32::<2>(top),
                    2 => top,
                    _ => _mm512_srli_epi32::<2>(top),
                };
                // Bits 0 to 3 from `low`, 4 and 5 from `top`.
                let top = _mm512_and_si512(top, _mm512_set1_epi32(0x30));
                let q = _mm512_or_si512(_mm512_and_si512(low, _mm512_set1_epi32(15)), top);
                let q = _mm512_sub_epi32(q, _mm512_set1_epi32(32));
                sink(
                    i,
                    _mm512_mul_ps(_mm512_set1_ps(scale), _mm512_cvtepi32_ps(q)),
                );
            }
        }
    }
}
