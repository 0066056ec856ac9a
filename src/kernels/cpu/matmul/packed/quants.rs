//! How the levels of 32 x 16 weights lie in a copy, and how they become vectors of bytes.
//!
//! Vector `i` of a block has 64 bytes: the levels `4 i` to `4 i + 3` of each of the 16 rows.
//! Processors with shorter vectors take it in slices, each of some rows.

use super::GROUP;
use super::activations::LEN;
use super::vectors::Vectors;

/// Vectors of a block.
pub const VECTORS: usize = LEN / 4;

/// Levels of 32 weights of each row.
pub type Levels = [[u8; LEN]; GROUP];

pub trait Quants {
    /// Bytes of a block.
    const BYTES: usize;

    /// Lays out a block.
    fn pack(levels: &Levels, to: &mut [u8]);

    /// A slice's part of vectors `2 pair` and `2 pair + 1`.
    ///
    /// # Safety
    /// `src` must have `BYTES` bytes, `pair` be less than 4, the group have the slice and the
    /// processor the level.
    unsafe fn pair<V: Vectors>(src: *const u8, pair: usize, slice: usize) -> [V::Bytes; 2];
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
    unsafe fn pair<V: Vectors>(src: *const u8, pair: usize, slice: usize) -> [V::Bytes; 2] {
        // SAFETY: the caller's.
        unsafe {
            let from = src.add(128 * pair + 4 * V::LANES * slice);
            [V::eights(from), V::eights(from.add(64))]
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
    unsafe fn pair<V: Vectors>(src: *const u8, pair: usize, slice: usize) -> [V::Bytes; 2] {
        // SAFETY: the caller's.
        unsafe { V::nibbles(V::load(src.add(64 * pair + 4 * V::LANES * slice))) }
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
    unsafe fn pair<V: Vectors>(src: *const u8, pair: usize, slice: usize) -> [V::Bytes; 2] {
        // SAFETY: the caller's.
        unsafe {
            let [even, odd] = Nibbles::pair::<V>(src, pair, slice);
            let bits = src.add(Nibbles::BYTES + 16 * pair + V::LANES / 2 * slice);
            [V::add_fifths(even, bits), V::add_fifths(odd, bits.add(8))]
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
    unsafe fn pair<V: Vectors>(src: *const u8, pair: usize, slice: usize) -> [V::Bytes; 2] {
        // SAFETY: the caller's.
        unsafe {
            let [even, odd] = Nibbles::pair::<V>(src, pair, slice);
            let tops = V::load(src.add(Nibbles::BYTES + 64 * (pair / 2) + 4 * V::LANES * slice));
            let i = 2 * (pair % 2);
            [V::add_tops(even, tops, i), V::add_tops(odd, tops, i + 1)]
        }
    }
}
