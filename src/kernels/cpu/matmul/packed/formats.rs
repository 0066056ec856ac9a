//! The types of weights that have copies: how 16 rows of a block lie there, and their products.

use std::marker::PhantomData;

use super::GROUP;
use super::activations::{Block, LEN, PARTS};
use super::quants::{Bytes, Fives, Nibbles, Quants, Sixes};
use super::vectors::{Vectors, slices};
use crate::engine::DType;
use crate::kernels::quant::{block_levels, k_scales_and_mins};

/// How far ahead memory is fetched.
const AHEAD: usize = 8 << 10;

/// A block of each of 16 rows; `None` past the weight's last row.
pub type Rows<'a> = [Option<&'a [u8]>; GROUP];

pub trait Format {
    const DTYPE: DType;
    /// Depth of a step.
    const LEN: usize = Self::DTYPE.block_len();
    /// Bytes of a step in the copy.
    const BYTES: usize;

    /// Lays out one block of each row.
    fn pack(rows: &Rows<'_>, to: &mut [u8]);

    /// Adds a step's products with some rows of `x` to `sums`, a row of the weight in each lane.
    ///
    /// # Safety
    /// `src` must have `BYTES` bytes, each `x` lead `LEN / 32` blocks, and the processor have
    /// the level.
    unsafe fn step<V: Vectors, const M: usize>(
        src: *const u8,
        x: [*const Block; M],
        sums: &mut [V::Group; M],
    );
}

/// Calls a generic function with the layout of `$dtype`'s copies, or gives `$none`.
macro_rules! with_packed {
    ($dtype:expr, $format:ident => $call:expr, else $none:expr) => {{
        use $crate::kernels::cpu::matmul::packed::formats;
        match $dtype {
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
            DType::Q8_0 => {
                type $format = formats::Q8_0;
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
            DType::F32 | DType::F16 | DType::BF16 | DType::U32 => $none,
        }
    }};
}
pub(super) use with_packed;

pub type Q4_0 = Scaled<Nibbles, { DType::Q4_0 as u8 }>;
pub type Q5_0 = Scaled<Fives, { DType::Q5_0 as u8 }>;
pub type Q8_0 = Scaled<Bytes, { DType::Q8_0 as u8 }>;
pub type Q4_1 = Shifted<Nibbles, { DType::Q4_1 as u8 }>;
pub type Q5_1 = Shifted<Fives, { DType::Q5_1 as u8 }>;
pub type Q4K = Nested<Nibbles, { DType::Q4_K as u8 }>;
pub type Q5K = Nested<Fives, { DType::Q5_K as u8 }>;

const fn dtype_of(number: u8) -> DType {
    let mut i = 0;
    while DType::WEIGHTS[i] as u8 != number {
        i += 1;
    }
    DType::WEIGHTS[i]
}

/// Levels, then a scale (`f16`) for each row: `scale * (level - zero)`.
pub struct Scaled<Q, const DTYPE: u8>(PhantomData<Q>);
/// Levels, then a scale and a minimum for each row: `scale * level + min`.
pub struct Shifted<Q, const DTYPE: u8>(PhantomData<Q>);
/// 256 weights of each row: scales and minima as `f16`, then for each 32 weights a byte each by
/// which those are multiplied, and the levels: `scale * byte * level - min * byte`.
pub struct Nested<Q, const DTYPE: u8>(PhantomData<Q>);
/// 256 weights of each row: scales as `f16` (in 64 bytes), then for each 32 weights two signed
/// bytes by which those are multiplied, one for each half, and the levels:
/// `scale * byte * (level - 32)`.
pub struct Q6K;

/// Bytes of an `f16` for each row.
const HALVES: usize = 2 * GROUP;

/// Bytes `at..at + N` of each row's block, behind one another; zeros where there is no row.
fn gather<const N: usize>(rows: &Rows<'_>, at: usize, to: &mut [u8]) {
    for (row, to) in rows.iter().zip(to.chunks_exact_mut(N)) {
        match row {
            Some(block) => to.copy_from_slice(&block[at..at + N]),
            None => to.fill(0),
        }
    }
}

/// Lays out the levels of the blocks' weights `32 j` to `32 j + 31`.
fn pack_levels<Q: Quants>(dtype: DType, rows: &Rows<'_>, j: usize, to: &mut [u8]) {
    let levels = rows.map(|row| row.map_or([0; LEN], |block| block_levels(dtype, block, j)));
    Q::pack(&levels, to);
}

/// Fetches `bytes` of a later step into the second-level cache.
#[inline(always)]
unsafe fn fetch<V: Vectors>(src: *const u8, bytes: usize) {
    for line in 0..bytes.div_ceil(64) {
        // SAFETY: the processor has the level.
        unsafe { V::fetch(src.wrapping_add(AHEAD + 64 * line)) };
    }
}

/// Minus the sums of the parts of each block, times `2^LOG_ZERO`: where sums start if levels are
/// that much too high. `half` chooses one half of the block.
#[inline(always)]
unsafe fn below<const M: usize, const LOG_ZERO: u32>(
    x: [*const Block; M],
    half: Option<usize>,
) -> [[i32; PARTS]; M] {
    let mut start = [[0; PARTS]; M];
    for (start, x) in start.iter_mut().zip(x) {
        for (p, start) in start.iter_mut().enumerate() {
            // SAFETY: the caller's.
            let (whole, first) = unsafe { ((*x).minus[p], (*x).minus_first[p]) };
            let minus = match half {
                None => whole,
                Some(0) => first,
                Some(_) => whole - first,
            };
            *start = minus << LOG_ZERO;
        }
    }
    start
}

/// `x` some blocks on.
#[inline(always)]
unsafe fn after<const M: usize>(x: [*const Block; M], blocks: usize) -> [*const Block; M] {
    let mut x = x;
    for x in &mut x {
        // SAFETY: the caller's.
        *x = unsafe { x.add(blocks) };
    }
    x
}

/// Adds `dots * scales` of a slice with the scales of the blocks of `x`.
#[inline(always)]
unsafe fn add_scaled<V: Vectors, const M: usize>(
    sums: &mut [V::Group; M],
    slice: usize,
    dots: [V::Floats; M],
    scales: V::Floats,
    x: [*const Block; M],
) {
    for m in 0..M {
        // SAFETY: the caller's.
        unsafe {
            let sum = &mut sums[m].as_mut()[slice];
            *sum = V::mul_add(dots[m], V::mul(scales, V::splat((*x[m]).scale)), *sum);
        }
    }
}

impl<Q: Quants, const DTYPE: u8> Format for Scaled<Q, DTYPE> {
    const DTYPE: DType = dtype_of(DTYPE);
    const BYTES: usize = Q::BYTES + HALVES;

    fn pack(rows: &Rows<'_>, to: &mut [u8]) {
        let (levels, scales) = to.split_at_mut(Q::BYTES);
        pack_levels::<Q>(Self::DTYPE, rows, 0, levels);
        gather::<2>(rows, 0, scales);
    }

    #[inline(always)]
    unsafe fn step<V: Vectors, const M: usize>(
        src: *const u8,
        x: [*const Block; M],
        sums: &mut [V::Group; M],
    ) {
        // SAFETY: the caller's.
        unsafe {
            fetch::<V>(src, Self::BYTES);
            let start = match Self::DTYPE {
                DType::Q4_0 => below::<M, 3>(x, None),
                DType::Q5_0 => below::<M, 4>(x, None),
                _ if V::SIGNED => [[0; PARTS]; M],
                _ => below::<M, 7>(x, None),
            };
            for slice in 0..slices::<V>() {
                let dots = V::dot::<Q, M, 0, 4>(src, slice, x, start);
                let scales = V::halves(src.add(Q::BYTES + 2 * V::LANES * slice));
                add_scaled::<V, M>(sums, slice, dots, scales, x);
            }
        }
    }
}

impl<Q: Quants, const DTYPE: u8> Format for Shifted<Q, DTYPE> {
    const DTYPE: DType = dtype_of(DTYPE);
    const BYTES: usize = Q::BYTES + 2 * HALVES;

    fn pack(rows: &Rows<'_>, to: &mut [u8]) {
        let (levels, rest) = to.split_at_mut(Q::BYTES);
        pack_levels::<Q>(Self::DTYPE, rows, 0, levels);
        let (scales, mins) = rest.split_at_mut(HALVES);
        gather::<2>(rows, 0, scales);
        gather::<2>(rows, 2, mins);
    }

    #[inline(always)]
    unsafe fn step<V: Vectors, const M: usize>(
        src: *const u8,
        x: [*const Block; M],
        sums: &mut [V::Group; M],
    ) {
        // SAFETY: the caller's.
        unsafe {
            fetch::<V>(src, Self::BYTES);
            for slice in 0..slices::<V>() {
                let dots = V::dot::<Q, M, 0, 4>(src, slice, x, [[0; PARTS]; M]);
                let at = src.add(Q::BYTES + 2 * V::LANES * slice);
                add_scaled::<V, M>(sums, slice, dots, V::halves(at), x);
                let mins = V::halves(at.add(HALVES));
                for m in 0..M {
                    let sum = &mut sums[m].as_mut()[slice];
                    *sum = V::mul_add(mins, V::splat((*x[m]).sum), *sum);
                }
            }
        }
    }
}

impl<Q: Quants, const DTYPE: u8> Format for Nested<Q, DTYPE> {
    const DTYPE: DType = dtype_of(DTYPE);
    const BYTES: usize = 2 * HALVES + 8 * (2 * GROUP + Q::BYTES);

    fn pack(rows: &Rows<'_>, to: &mut [u8]) {
        let (heads, parts) = to.split_at_mut(2 * HALVES);
        let (scales, mins) = heads.split_at_mut(HALVES);
        gather::<2>(rows, 0, scales);
        gather::<2>(rows, 2, mins);
        let bytes = rows.map(|row| row.map_or(([0; 8], [0; 8]), |b| k_scales_and_mins(&b[4..16])));
        for (j, part) in parts.chunks_exact_mut(2 * GROUP + Q::BYTES).enumerate() {
            let (heads, levels) = part.split_at_mut(2 * GROUP);
            for (r, (scales, mins)) in bytes.iter().enumerate() {
                heads[r] = scales[j];
                heads[GROUP + r] = mins[j];
            }
            pack_levels::<Q>(Self::DTYPE, rows, j, levels);
        }
    }

    #[inline(always)]
    unsafe fn step<V: Vectors, const M: usize>(
        src: *const u8,
        x: [*const Block; M],
        sums: &mut [V::Group; M],
    ) {
        // SAFETY: the caller's.
        unsafe {
            let heads = src;
            let mut src = src.add(2 * HALVES);
            for j in 0..8 {
                fetch::<V>(src, 2 * GROUP + Q::BYTES);
                let x = after(x, j);
                for slice in 0..slices::<V>() {
                    let first = V::LANES * slice;
                    let d = V::halves(heads.add(2 * first));
                    let dmin = V::halves(heads.add(HALVES + 2 * first));
                    let dots = V::dot::<Q, M, 0, 4>(src.add(2 * GROUP), slice, x, [[0; PARTS]; M]);
                    let scales = V::mul(d, V::unsigned(src.add(first)));
                    add_scaled::<V, M>(sums, slice, dots, scales, x);
                    let mins = V::mul(dmin, V::unsigned(src.add(GROUP + first)));
                    for m in 0..M {
                        let sum = &mut sums[m].as_mut()[slice];
                        *sum = V::sub_mul(mins, V::splat((*x[m]).sum), *sum);
                    }
                }
                src = src.add(2 * GROUP + Q::BYTES);
            }
        }
    }
}

impl Format for Q6K {
    const DTYPE: DType = DType::Q6_K;
    const BYTES: usize = 2 * HALVES + 8 * (2 * GROUP + Sixes::BYTES);

    fn pack(rows: &Rows<'_>, to: &mut [u8]) {
        let (scales, parts) = to.split_at_mut(2 * HALVES);
        scales.fill(0);
        gather::<2>(rows, 208, &mut scales[..HALVES]);
        for (j, part) in parts.chunks_exact_mut(2 * GROUP + Sixes::BYTES).enumerate() {
            let (heads, levels) = part.split_at_mut(2 * GROUP);
            let (first, second) = heads.split_at_mut(GROUP);
            gather::<1>(rows, 192 + 2 * j, first);
            gather::<1>(rows, 193 + 2 * j, second);
            pack_levels::<Sixes>(Self::DTYPE, rows, j, levels);
        }
    }

    #[inline(always)]
    unsafe fn step<V: Vectors, const M: usize>(
        src: *const u8,
        x: [*const Block; M],
        sums: &mut [V::Group; M],
    ) {
        // SAFETY: the caller's.
        unsafe {
            let heads = src;
            let mut src = src.add(2 * HALVES);
            for j in 0..8 {
                fetch::<V>(src, 2 * GROUP + Sixes::BYTES);
                let (x, levels) = (after(x, j), src.add(2 * GROUP));
                for slice in 0..slices::<V>() {
                    let first = V::LANES * slice;
                    let d = V::halves(heads.add(2 * first));
                    let dots =
                        V::dot::<Sixes, M, 0, 2>(levels, slice, x, below::<M, 5>(x, Some(0)));
                    let scales = V::mul(d, V::signed(src.add(first)));
                    add_scaled::<V, M>(sums, slice, dots, scales, x);
                    let dots =
                        V::dot::<Sixes, M, 2, 4>(levels, slice, x, below::<M, 5>(x, Some(1)));
                    let scales = V::mul(d, V::signed(src.add(GROUP + first)));
                    add_scaled::<V, M>(sums, slice, dots, scales, x);
                }
                src = levels.add(Sixes::BYTES);
            }
        }
    }
}
