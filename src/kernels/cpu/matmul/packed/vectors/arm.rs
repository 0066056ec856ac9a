//! Dot products (`sdot`) and products of matrices (`smmla`) of signed bytes on ARM: a quarter of a
//! group in a vector.

use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::Range;

use super::Vectors;
use crate::kernels::cpu::matmul::neon::fifths;
use crate::kernels::cpu::matmul::packed::Work;
use crate::kernels::cpu::matmul::packed::activations::{Block, PARTS, split_row};
use crate::kernels::cpu::matmul::packed::formats::Format;
use crate::kernels::cpu::matmul::packed::quants::Quants;

#[derive(Clone, Copy)]
pub struct Dotprod;

/// As [`Dotprod`] but for how levels are multiplied.
#[derive(Clone, Copy)]
pub struct I8mm;

/// What both have in common.
macro_rules! common {
    ($features:literal) => {
        const LANES: usize = 4;
        const SIGNED: bool = true;

        type Bytes = int8x16_t;
        type Ints = int32x4_t;
        type Floats = float32x4_t;
        type Group = [float32x4_t; 4];

        #[target_feature(enable = "neon")]
        unsafe fn split_row(row: &[f32], to: *mut Block) {
            // SAFETY: the caller's.
            unsafe { split_row(row, to) }
        }

        #[target_feature(enable = $features)]
        unsafe fn groups<F: Format>(work: &Work<'_>, groups: Range<usize>) {
            // SAFETY: the caller's.
            unsafe { work.multiply::<Self, F>(groups) }
        }

        #[inline(always)]
        unsafe fn nothing() -> [float32x4_t; 4] {
            // SAFETY: the caller's.
            [unsafe { vdupq_n_f32(0.0) }; 4]
        }

        #[inline(always)]
        unsafe fn splat(value: f32) -> float32x4_t {
            // SAFETY: the caller's.
            unsafe { vdupq_n_f32(value) }
        }

        #[inline(always)]
        unsafe fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
            // SAFETY: the caller's.
            unsafe { vmulq_f32(a, b) }
        }

        #[inline(always)]
        unsafe fn mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
            // SAFETY: the caller's.
            unsafe { vfmaq_f32(c, a, b) }
        }

        #[inline(always)]
        unsafe fn sub_mul(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
            // SAFETY: the caller's.
            unsafe { vfmsq_f32(c, a, b) }
        }

        #[inline(always)]
        unsafe fn store(floats: float32x4_t, to: *mut f32) {
            // SAFETY: the caller's.
            unsafe { vst1q_f32(to, floats) }
        }

        #[inline(always)]
        unsafe fn halves(src: *const u8) -> float32x4_t {
            // SAFETY: the caller's.
            unsafe { vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(src))) }
        }

        #[inline(always)]
        unsafe fn unsigned(src: *const u8) -> float32x4_t {
            // SAFETY: the caller's.
            unsafe {
                let bytes = vcreate_u8(src.cast::<u32>().read_unaligned().into());
                vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(bytes))))
            }
        }

        #[inline(always)]
        unsafe fn signed(src: *const u8) -> float32x4_t {
            // SAFETY: the caller's.
            unsafe {
                let bytes = vcreate_s8(src.cast::<u32>().read_unaligned().into());
                vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))))
            }
        }

        #[inline(always)]
        unsafe fn fetch(src: *const u8) {
            // SAFETY: fetching changes nothing, whatever the address.
            unsafe {
                asm!(
                    "prfm pldl2keep, [{src}]",
                    src = in(reg) src,
                    options(readonly, nostack, preserves_flags)
                );
            }
        }

        #[inline(always)]
        unsafe fn load(src: *const u8) -> int8x16_t {
            // SAFETY: the caller's.
            unsafe { vreinterpretq_s8_u8(vld1q_u8(src)) }
        }

        #[inline(always)]
        unsafe fn eights(src: *const u8) -> int8x16_t {
            // SAFETY: the caller's.
            unsafe { veorq_s8(Self::load(src), vdupq_n_s8(i8::MIN)) }
        }

        #[inline(always)]
        unsafe fn nibbles(both: int8x16_t) -> [int8x16_t; 2] {
            // SAFETY: the caller's.
            unsafe {
                let both = vreinterpretq_u8_s8(both);
                [
                    vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15))),
                    vreinterpretq_s8_u8(vshrq_n_u8::<4>(both)),
                ]
            }
        }

        #[inline(always)]
        unsafe fn add_fifths(levels: int8x16_t, bits: *const u8) -> int8x16_t {
            // SAFETY: the caller's.
            unsafe { vorrq_s8(levels, vreinterpretq_s8_u8(fifths(bits))) }
        }

        #[inline(always)]
        unsafe fn add_tops(levels: int8x16_t, tops: int8x16_t, i: usize) -> int8x16_t {
            // SAFETY: the caller's.
            unsafe {
                let tops = vreinterpretq_u8_s8(tops);
                let tops = match i {
                    0 => vshlq_n_u8::<4>(tops),
                    1 => vshlq_n_u8::<2>(tops),
                    2 => tops,
                    _ => vshrq_n_u8::<2>(tops),
                };
                let tops = vandq_u8(tops, vdupq_n_u8(0x30));
                vorrq_s8(levels, vreinterpretq_s8_u8(tops))
            }
        }

        #[inline(always)]
        unsafe fn ints(value: i32) -> int32x4_t {
            // SAFETY: the caller's.
            unsafe { vdupq_n_s32(value) }
        }

        #[inline(always)]
        unsafe fn add_pair(
            sum: int32x4_t,
            levels: [int8x16_t; 2],
            part: &[i32; 8],
            pair: usize,
        ) -> int32x4_t {
            // SAFETY: four words, since a pair is less than four; the rest is the caller's.
            unsafe {
                let words = vld1q_s32(part.as_ptr().add(pair / 2 * 4));
                if pair.is_multiple_of(2) {
                    sdot::<1>(sdot::<0>(sum, levels[0], words), levels[1], words)
                } else {
                    sdot::<3>(sdot::<2>(sum, levels[0], words), levels[1], words)
                }
            }
        }

        #[inline(always)]
        unsafe fn join([a, b, c]: [int32x4_t; PARTS]) -> float32x4_t {
            // SAFETY: the caller's.
            unsafe {
                // Below 2^29: parts 2^7, levels 2^8, 32 of them, and the second part 2^8 times as
                // much.
                let low = vcvtq_f32_s32(vaddq_s32(a, vshlq_n_s32::<8>(b)));
                vfmaq_f32(low, vcvtq_f32_s32(c), vdupq_n_f32(65536.0))
            }
        }
    };
}

impl Vectors for Dotprod {
    common!("neon,dotprod");
}

impl Vectors for I8mm {
    common!("neon,dotprod,i8mm");

    /// Two rows of the slice are multiplied with two columns, which are parts of rows of `x`, over
    /// a depth of 8 at a time. An odd column is multiplied twice.
    #[inline(always)]
    unsafe fn dot<Q: Quants, const M: usize, const FROM: usize, const TO: usize>(
        src: *const u8,
        slice: usize,
        x: [*const Block; M],
        start: [[i32; PARTS]; M],
    ) -> [float32x4_t; M] {
        /// Pairs of columns of the most rows of `x` at once.
        const MOST: usize = 6;
        let columns = M * PARTS;
        let twos = columns.div_ceil(2);
        // SAFETY: the caller's.
        unsafe {
            // For each pair of columns the products with the slice's first and last two rows.
            let mut sums = [[vdupq_n_s32(0); 2]; MOST];
            for pair in FROM..TO {
                let [even, odd] =
                    Q::pair::<Self>(src, pair, slice).map(|v| vreinterpretq_s32_s8(v));
                let first = vreinterpretq_s8_s32(vzip1q_s32(even, odd));
                let last = vreinterpretq_s8_s32(vzip2q_s32(even, odd));
                for (two, [low, high]) in sums.iter_mut().enumerate().take(twos) {
                    let column = |c: usize| {
                        let c = c.min(columns - 1);
                        let part = &(*x[c / PARTS]).parts[c % PARTS];
                        vreinterpret_s8_s32(vld1_s32(part.as_ptr().add(2 * pair)))
                    };
                    let both = vcombine_s8(column(2 * two), column(2 * two + 1));
                    *low = smmla(*low, first, both);
                    *high = smmla(*high, last, both);
                }
            }
            let mut dots = [vdupq_n_f32(0.0); M];
            for m in 0..M {
                let mut parts = [vdupq_n_s32(0); PARTS];
                for p in 0..PARTS {
                    let column = m * PARTS + p;
                    let [first, last] = sums[column / 2];
                    let sum = if column.is_multiple_of(2) {
                        vuzp1q_s32(first, last)
                    } else {
                        vuzp2q_s32(first, last)
                    };
                    parts[p] = vaddq_s32(sum, vdupq_n_s32(start[m][p]));
                }
                dots[m] = Self::join(parts);
            }
            dots
        }
    }
}

// The compiler's own names for these two instructions are not stable yet.

/// Adds to each lane the dot product of its four bytes of `a` with the bytes of word `WORD` of `b`.
///
/// # Safety
/// The processor must have `dotprod`.
#[inline(always)]
unsafe fn sdot<const WORD: usize>(sum: int32x4_t, a: int8x16_t, b: int32x4_t) -> int32x4_t {
    let mut sum = sum;
    // SAFETY: the caller's; it touches registers only.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.4b[{word}]",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            word = const WORD,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

/// Adds the product of the 2 x 8 bytes of `a` with the transpose of the 2 x 8 of `b`.
///
/// # Safety
/// The processor must have `i8mm`.
#[inline(always)]
unsafe fn smmla(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut sum = sum;
    // SAFETY: the caller's; it touches registers only.
    unsafe {
        asm!(
            "smmla {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}
