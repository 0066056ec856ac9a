//! The instructions that multiply bytes, and the vectors they work on.

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use std::ops::Range;

use super::activations::{Block, PARTS};
use super::formats::Format;
use super::quants::Quants;
use super::{GROUP, Work};

#[cfg(target_arch = "aarch64")]
pub use arm::{Dotprod, I8mm};
#[cfg(target_arch = "x86_64")]
pub use avx2::AvxVnni;
#[cfg(target_arch = "x86_64")]
pub use avx512::Vnni;

/// A level of vectors with dot products of bytes. A vector has part of a group's rows, one in each
/// 32-bit lane: slice `s` has rows `LANES * s` to `LANES * s + LANES - 1`.
///
/// All but [`Vectors::split_row`] and [`Vectors::groups`] are inlined into those, which name the
/// instructions: what names them itself may be left a call, which passes vectors through memory.
pub trait Vectors: Copy {
    /// 32-bit lanes.
    const LANES: usize;
    /// Levels of 8 bits are multiplied as signed numbers, their zero in the middle taken off.
    const SIGNED: bool;

    /// Four levels of each row of a slice.
    type Bytes: Copy;
    type Ints: Copy;
    type Floats: Copy;
    /// A float for each row of the group: a vector for each slice.
    type Group: Copy + AsRef<[Self::Floats]> + AsMut<[Self::Floats]>;

    /// Turns a row of whole blocks into parts.
    ///
    /// # Safety
    /// `to` must have room for the row's blocks; the processor must have this level.
    unsafe fn split_row(row: &[f32], to: *mut Block);

    /// Multiplies with some groups: [`Work::multiply`].
    ///
    /// # Safety
    /// As for that; the processor must have this level.
    unsafe fn groups<F: Format>(work: &Work<'_>, groups: Range<usize>);

    /// Zeros.
    unsafe fn nothing() -> Self::Group;
    unsafe fn splat(value: f32) -> Self::Floats;
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a * b + c`
    unsafe fn mul_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// `c - a * b`
    unsafe fn sub_mul(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    unsafe fn store(floats: Self::Floats, to: *mut f32);
    /// An `f16` for each lane.
    unsafe fn halves(src: *const u8) -> Self::Floats;
    /// An unsigned byte for each lane.
    unsafe fn unsigned(src: *const u8) -> Self::Floats;
    /// A signed byte for each lane.
    unsafe fn signed(src: *const u8) -> Self::Floats;

    /// Fetches a line of memory into the second-level cache. Any address may be named.
    unsafe fn fetch(src: *const u8);
    unsafe fn load(src: *const u8) -> Self::Bytes;
    /// Levels of 8 bits, less 128 where they are [`Vectors::SIGNED`].
    unsafe fn eights(src: *const u8) -> Self::Bytes;
    /// The low halves of all bytes, and the high ones.
    unsafe fn nibbles(both: Self::Bytes) -> [Self::Bytes; 2];
    /// Adds 16 to each level whose bit is set.
    unsafe fn add_fifths(levels: Self::Bytes, bits: *const u8) -> Self::Bytes;
    /// Adds 16 times bits `2 i` and `2 i + 1` of each byte.
    unsafe fn add_tops(levels: Self::Bytes, tops: Self::Bytes, i: usize) -> Self::Bytes;

    unsafe fn ints(value: i32) -> Self::Ints;
    /// Adds the products of the levels in vectors `2 pair` and `2 pair + 1` with a part of a block.
    unsafe fn add_pair(
        sum: Self::Ints,
        levels: [Self::Bytes; 2],
        part: &[i32; 8],
        pair: usize,
    ) -> Self::Ints;
    /// `a + 256 b + 65536 c`
    unsafe fn join(sums: [Self::Ints; PARTS]) -> Self::Floats;

    /// The dot products of a slice's levels with numbers of a block of each row of `x`, over the
    /// pairs of vectors `FROM..TO`, from `start` on. Exact up to the last conversion.
    ///
    /// Loops rather than `map`: closures that the compiler does not inline pass vectors through
    /// memory.
    #[allow(
        clippy::needless_range_loop,
        reason = "the loops over parts are unrolled as they stand"
    )]
    #[inline(always)]
    unsafe fn dot<Q: Quants, const M: usize, const FROM: usize, const TO: usize>(
        src: *const u8,
        slice: usize,
        x: [*const Block; M],
        start: [[i32; PARTS]; M],
    ) -> [Self::Floats; M] {
        // SAFETY: the caller's.
        unsafe {
            let mut sums = [[Self::ints(0); PARTS]; M];
            for m in 0..M {
                for p in 0..PARTS {
                    sums[m][p] = Self::ints(start[m][p]);
                }
            }
            for pair in FROM..TO {
                let levels = Q::pair::<Self>(src, pair, slice);
                for m in 0..M {
                    for p in 0..PARTS {
                        let part = &(*x[m]).parts[p];
                        sums[m][p] = Self::add_pair(sums[m][p], levels, part, pair);
                    }
                }
            }
            let mut dots = [Self::splat(0.0); M];
            for m in 0..M {
                dots[m] = Self::join(sums[m]);
            }
            dots
        }
    }
}

/// Vectors of a group.
pub const fn slices<V: Vectors>() -> usize {
    GROUP / V::LANES
}
