//! How the levels of 32 x 16 weights lie in a copy, and how they become vectors of bytes.
//!
//! Vector `i` of a block has the levels `4 i` to `4 i + 3` of each of the 16 rows, a row in each
//! 32-bit lane.

use std::arch::x86_64::*;

use super::GROUP;
use super::activations::LEN;

/// Vectors of a block.
pub const VECTORS: usize = LEN / 4;

/// Levels of 32 weights of each row.
pub type Levels = [[u8; LEN]; GROUP];

pub trait Quants {
    /// Bytes of a block.
    const BYTES: usize;

    /// Lays out a block.
    fn pack(levels: &Levels, to: &mut [u8]);

    /// Vectors `2 pair` and `2 pair + 1`.
    ///
    /// # Safety
    /// `src` must have `BYTES` bytes, `pair` be less than 4, and the processor have AVX-512 F and
    /// BW.
    unsafe fn pair(src: *const u8, pair: usize) -> [__m512i; 2];
}

/// The bytes of vector `i`.
fn vector(levels: &Levels, i: usize) -> [u8; 64] {
    std::array::from_fn(|byte| levels[byte / 4][4 * i + byte % 4])
}

/// A level in a byte.
pub struct Bytes;

impl Quants for Bytes {
    const BYTES: usize = 64 * VECTORS;

    fn pack(levels: &Levels, to: &mut [u8]) {
        for (i, to) in to.chunks_exact_mut(64).enumerate() {
            to.copy_from_slice(&vector(levels, i));
        }
    }

    #[inline(always)]
    unsafe fn pair(src: *const u8, pair: usize) -> [__m512i; 2] {
        // SAFETY: the caller's.
        unsafe {
            let from = src.add(128 * pair);
            [
                _mm512_loadu_si512(from.cast()),
                _mm512_loadu_si512(from.add(64).cast()),
            ]
        }
    }
}

/// Four bits: a pair of vectors shares its bytes.
pub struct Nibbles;

impl Quants for Nibbles {
    const BYTES: usize = 32 * VECTORS;

    fn pack(levels: &Levels, to: &mut [u8]) {
        for (pair, to) in to.chunks_exact_mut(64).enumerate() {
            let (even, odd) = (vector(levels, 2 * pair), vector(levels, 2 * pair + 1));
            for ((to, even), odd) in to.iter_mut().zip(even).zip(odd) {
                *to = even & 15 | odd << 4;
            }
        }
    }

    #[inline(always)]
    unsafe fn pair(src: *const u8, pair: usize) -> [__m512i; 2] {
        // SAFETY: the caller's.
        unsafe {
            let both = _mm512_loadu_si512(src.add(64 * pair).cast());
            let mask = _mm512_set1_epi8(15);
            [
                _mm512_and_si512(both, mask),
                _mm512_and_si512(_mm512_srli_epi16::<4>(both), mask),
            ]
        }
    }
}

/// Nibbles, then a fifth bit for each.
pub struct Fives;

impl Quants for Fives {
    const BYTES: usize = Nibbles::BYTES + 8 * VECTORS;

    fn pack(levels: &Levels, to: &mut [u8]) {
        let (nibbles, fifths) = to.split_at_mut(Nibbles::BYTES);
        Nibbles::pack(levels, nibbles);
        for (i, to) in fifths.chunks_exact_mut(8).enumerate() {
            let bits = vector(levels, i).into_iter().rev();
            let bits = bits.fold(0u64, |bits, level| bits << 1 | u64::from(level >> 4 & 1));
            to.copy_from_slice(&bits.to_le_bytes());
        }
    }

    #[inline(always)]
    unsafe fn pair(src: *const u8, pair: usize) -> [__m512i; 2] {
        // SAFETY: the caller's.
        unsafe {
            let [even, odd] = Nibbles::pair(src, pair);
            let bits = src.add(Nibbles::BYTES + 16 * pair).cast::<u64>();
            let (low, high) = (bits.read_unaligned(), bits.add(1).read_unaligned());
            let fifth = _mm512_set1_epi8(16);
            [
                _mm512_mask_add_epi8(even, low, even, fifth),
                _mm512_mask_add_epi8(odd, high, odd, fifth),
            ]
        }
    }
}

/// Nibbles, then two more bits for each: four vectors share 64 bytes.
pub struct Sixes;

impl Quants for Sixes {
    const BYTES: usize = Nibbles::BYTES + 16 * VECTORS;

    fn pack(levels: &Levels, to: &mut [u8]) {
        let (nibbles, tops) = to.split_at_mut(Nibbles::BYTES);
        Nibbles::pack(levels, nibbles);
        for (four, to) in tops.chunks_exact_mut(64).enumerate() {
            to.fill(0);
            for i in 0..4 {
                for (to, level) in to.iter_mut().zip(vector(levels, 4 * four + i)) {
                    *to |= (level >> 4 & 3) << (2 * i);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn pair(src: *const u8, pair: usize) -> [__m512i; 2] {
        // SAFETY: the caller's.
        unsafe {
            let [even, odd] = Nibbles::pair(src, pair);
            let tops = _mm512_loadu_si512(src.add(Nibbles::BYTES + 64 * (pair / 2)).cast());
            let mask = _mm512_set1_epi8(0x30);
            let (low, high) = if pair.is_multiple_of(2) {
                (_mm512_slli_epi16::<4>(tops), _mm512_slli_epi16::<2>(tops))
            } else {
                (tops, _mm512_srli_epi16::<2>(tops))
            };
            // `level | (top & mask)`
            let join = |level, top| _mm512_ternarylogic_epi32::<0xf8>(level, top, mask);
            [join(even, low), join(odd, high)]
        }
    }
}
