//! A tile of the product: some rows times the columns of a panel, with all sums in registers.

use std::arch::asm;
use std::arch::x86_64::*;

use super::{COLS, LEN, PANEL_WORDS, ROWS, WORDS};
use crate::kernels::cpu::tile::{Target, store_avx2};

/// Sums of a tile's rows in 16 or 32 bits: a panel's columns are two vectors.
type Sums<const M: usize> = [[__m256i; 2]; M];

/// The products of `M` rows, `a_stride` words apart, with a panel. Sums of levels are widened after
/// every `RUN` of a block's eight steps.
///
/// # Safety
/// The rows and the panel must have that many blocks, levels be below 128, of `RUN` 4 below 32, of
/// `RUN` 8 below 16, the target be the caller's own; the processor must have AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn tile<const M: usize, const RUN: usize>(
    blocks: usize,
    (a, a_stride): (*const f32, usize),
    b: *const f32,
    target: Target,
) {
    let ones = _mm256_set1_epi16(1);
    let mut sums = [[_mm256_setzero_ps(); 2]; M];
    for block in 0..blocks {
        // SAFETY: the caller's.
        unsafe {
            let (a, b) = (a.add(block * WORDS), b.add(block * PANEL_WORDS));
            let mut wide: Sums<M> = [[_mm256_setzero_si256(); 2]; M];
            for first in (0..LEN / 4).step_by(RUN) {
                let short = short_sums::<M, RUN>((a.add(first), a_stride), b.add(first * COLS));
                for (wide, short) in wide.as_flattened_mut().iter_mut().zip(short.as_flattened()) {
                    *wide = _mm256_add_epi32(*wide, _mm256_madd_epi16(*short, ones));
                }
            }
            let factors = b.add(LEN / 4 * COLS);
            for v in 0..2 {
                let scale = _mm256_loadu_ps(factors.add(8 * v));
                let least = _mm256_loadu_ps(factors.add(COLS + 8 * v));
                for r in 0..M {
                    let x = a.add(r * a_stride + LEN / 4);
                    let scale = _mm256_mul_ps(scale, _mm256_broadcast_ss(&*x));
                    let sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(wide[r][v]), scale, sums[r][v]);
                    sums[r][v] = _mm256_fmadd_ps(least, _mm256_broadcast_ss(&*x.add(1)), sum);
                }
            }
        }
    }
    // SAFETY: the caller's.
    unsafe { store_avx2(&sums, target) }
}

/// Sums of pairs of products over `RUN` steps. They stay below 2^15: bytes are at most 127 (128 in rows that
/// are no numbers), and of levels below 16 there are eight pairs, of those below 32 four, of others one.
///
/// # Safety
/// As for [`tile`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn short_sums<const M: usize, const RUN: usize>(
    (a, a_stride): (*const f32, usize),
    b: *const f32,
) -> Sums<M> {
    let mut short: Sums<M> = [[_mm256_setzero_si256(); 2]; M];
    // SAFETY: the caller's.
    unsafe {
        let mut by_one = 0..RUN;
        if let Ok(whole) = <&mut Sums<ROWS>>::try_from(&mut short[..]) {
            while by_one.len() >= 4 {
                let step = by_one.start;
                four_steps(whole, (a.add(step), a_stride), b.add(step * COLS));
                by_one.start += 4;
            }
        }
        for step in by_one {
            let w = b.add(step * COLS).cast::<__m256i>();
            let w = [_mm256_loadu_si256(w), _mm256_loadu_si256(w.add(1))];
            for (r, short) in short.iter_mut().enumerate() {
                let x = a.add(r * a_stride + step).cast::<i32>().read_unaligned();
                for (short, w) in short.iter_mut().zip(w) {
                    let products = _mm256_maddubs_epi16(w, _mm256_set1_epi32(x));
                    *short = _mm256_add_epi16(*short, products);
                }
            }
        }
    }
    short
}

/// Adds the pairs of products of four steps of a whole tile. Left to itself the compiler loads all of a
/// block before it multiplies, more than the registers hold.
///
/// # Safety
/// As for [`tile`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn four_steps(short: &mut Sums<ROWS>, (a, a_stride): (*const f32, usize), b: *const f32) {
    macro_rules! step {
        ($step:literal) => {
            concat!(
                "vmovdqu {w}, [{b} + 64 * ",
                $step,
                "]\n",
                "vmovdqu {v}, [{b} + 64 * ",
                $step,
                " + 32]\n",
                "vpbroadcastd {x}, [{a} + 4 * ",
                $step,
                "]\n",
                "vpmaddubsw {y}, {w}, {x}\n",
                "vpaddw {s0}, {s0}, {y}\n",
                "vpmaddubsw {x}, {v}, {x}\n",
                "vpaddw {s1}, {s1}, {x}\n",
                "vpbroadcastd {x}, [{a} + {stride} + 4 * ",
                $step,
                "]\n",
                "vpmaddubsw {y}, {w}, {x}\n",
                "vpaddw {s2}, {s2}, {y}\n",
                "vpmaddubsw {x}, {v}, {x}\n",
                "vpaddw {s3}, {s3}, {x}\n",
                "vpbroadcastd {x}, [{a} + 2 * {stride} + 4 * ",
                $step,
                "]\n",
                "vpmaddubsw {w}, {w}, {x}\n",
                "vpaddw {s4}, {s4}, {w}\n",
                "vpmaddubsw {v}, {v}, {x}\n",
                "vpaddw {s5}, {s5}, {v}\n",
            )
        };
    }
    let [[s0, s1], [s2, s3], [s4, s5]] = short;
    // SAFETY: reads what the caller says is there, and AVX2 is.
    unsafe {
        asm!(
            step!(0), step!(1), step!(2), step!(3),
            a = in(reg) a,
            stride = in(reg) a_stride * size_of::<f32>(),
            b = in(reg) b,
            w = out(ymm_reg) _,
            v = out(ymm_reg) _,
            x = out(ymm_reg) _,
            y = out(ymm_reg) _,
            s0 = inout(ymm_reg) *s0,
            s1 = inout(ymm_reg) *s1,
            s2 = inout(ymm_reg) *s2,
            s3 = inout(ymm_reg) *s3,
            s4 = inout(ymm_reg) *s4,
            s5 = inout(ymm_reg) *s5,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
}
