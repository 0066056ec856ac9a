//! `out = x * weight^T` on the processor.
//!
//! Few rows (decoding) are bound by reading the weight: with 8-bit dot products from a copy laid
//! out for them (`packed`), or each of its rows is expanded in registers and multiplied with every
//! row of `x` on the way. Many rows are bound by arithmetic: a panel of the weight is expanded into
//! a buffer that stays in the cache and multiplied in tiles.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod few;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod many;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod packed;
mod portable;
#[cfg(test)]
pub(crate) mod tests;

use std::slice;

use crate::engine::cpu::Team;
use crate::engine::view::{Mat, MatMut, Rows};

use super::narrow;
use super::scratch::with_scratch;
use super::simd::{Floats, Simd};
#[cfg(target_arch = "aarch64")]
use super::tile::Neon;
#[cfg(target_arch = "x86_64")]
use super::tile::{Avx2, Avx512};
use crate::kernels::quant::dequantize_row;
#[cfg(target_arch = "x86_64")]
pub(super) use avx2::expand as expand_avx2;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) use many::{depth, grains};
#[cfg(target_arch = "aarch64")]
pub(super) use neon::expand as expand_neon;

/// Evaluates `$call` with the constant `$known` in place of a type of quantised weights, so that
/// each has its own code.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! by_quantised {
    ($dtype:expr, $known:ident => $call:expr) => {
        by_quantised!($dtype, $known => $call, Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q4_K Q5_K Q6_K)
    };
    ($dtype:expr, $known:ident => $call:expr, $($quantised:ident)*) => {
        match $dtype {
            $(DType::$quantised => {
                const $known: DType = DType::$quantised;
                $call
            })*
            DType::F32 | DType::F16 | DType::BF16 | DType::U32 => {
                unreachable!("plain elements are no blocks")
            }
        }
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use by_quantised;

/// Products and expansion of one row of weights with the instructions of `$features`: by the
/// module's own `few_dots` (up to `AT_ONCE` rows of `x`) and `weights` (`BLOCK` of them in vectors
/// of `$lanes`, which `$store` writes).
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! quantised_rows {
    ($features:literal, $lanes:literal, $store:ident) => {
        /// Products of one row of quantised weights with every row of `x`.
        #[target_feature(enable = $features)]
        pub fn row_dots(dtype: DType, row: &[u8], x: &Mat<'_, f32>, dots: &mut [f32]) {
            assert!(dots.len() == x.rows && dtype.row_bytes(x.cols) == Some(row.len()));
            // SAFETY: a whole row, and rows of `x` of as many values.
            by_quantised!(dtype, D => unsafe {
                if let [dot] = dots {
                    [*dot] = few_dots(D, row, [x.row(0)]);
                    return;
                }
                for (i, dots) in dots.chunks_mut(AT_ONCE).enumerate() {
                    // Rows that are not there repeat the last one.
                    let mut rows = [x.row(x.rows - 1); AT_ONCE];
                    for (r, row) in rows.iter_mut().enumerate().take(dots.len()) {
                        *row = x.row(AT_ONCE * i + r);
                    }
                    dots.copy_from_slice(&few_dots(D, row, rows)[..dots.len()]);
                }
            })
        }

        /// Expands a row.
        #[target_feature(enable = $features)]
        pub fn expand(dtype: DType, row: &[u8], out: &mut [f32]) {
            if dtype.is_plain() {
                return dequantize_row_inline(dtype, row, out);
            }
            assert_eq!(dtype.row_bytes(out.len()), Some(row.len()));
            // SAFETY: whole blocks.
            by_quantised!(dtype, D => unsafe { expand_of(D, row, out) })
        }

        /// # Safety
        /// `row` must be whole blocks; the processor must have what `weights` needs.
        #[inline(always)]
        unsafe fn expand_of(dtype: DType, row: &[u8], out: &mut [f32]) {
            let blocks = row.chunks_exact(dtype.block_bytes());
            for (block, out) in blocks.zip(out.chunks_exact_mut(dtype.block_len())) {
                for (j, out) in out.chunks_exact_mut(BLOCK).enumerate() {
                    // SAFETY: `block` is a whole block.
                    let weights = unsafe { weights(dtype, block, j) };
                    for (weight, out) in weights.iter().zip(out.chunks_exact_mut($lanes)) {
                        // SAFETY: room for a vector.
                        unsafe { $store(out.as_mut_ptr(), *weight) };
                    }
                }
            }
        }
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use quantised_rows;

/// Up to this many rows, reading the weight costs more than the arithmetic.
const FEW_ROWS: usize = 8;

/// One multiplication.
#[derive(Clone, Copy)]
pub struct Matmul<'a> {
    pub x: Mat<'a, f32>,
    pub weight: Rows<'a>,
    /// Bias: one value for each row of the weight.
    pub bias: Option<&'a [f32]>,
    /// Add to what `out` holds.
    pub accumulate: bool,
}

impl Matmul<'_> {
    /// Multiplies with the best code of `simd`.
    pub fn run(&self, team: &Team, simd: Simd, out: &mut MatMut<'_>) {
        self.check(out);
        if out.rows == 0 || out.cols == 0 {
            return;
        }
        match simd.floats() {
            _ if self.x.cols == 0 => self.bias_alone(out),
            _ if Self::run_packed(slice::from_ref(self), team, simd, slice::from_mut(out)) => {}
            #[cfg(target_arch = "x86_64")]
            Floats::Avx512 if out.rows <= FEW_ROWS => few::run(self, team, out),
            _ if out.rows > FEW_ROWS && narrow::suits(simd, out.cols) => self.narrow(team, out),
            _ if out.rows <= FEW_ROWS => portable::few(self, team, simd, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the extents are checked; the level says what the processor has.
            Floats::Avx512 => unsafe { many::run::<Avx512>(self, team, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Floats::Avx2 => unsafe { many::run::<Avx2>(self, team, out) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Floats::Neon => unsafe { many::run::<Neon>(self, team, out) },
            _ => portable::many(self, team, out),
        }
    }

    /// Multiplications that do not depend on each other, as one job where that pays.
    pub fn run_all(jobs: &[Matmul<'_>], team: &Team, simd: Simd, outs: &mut [MatMut<'_>]) {
        jobs.iter()
            .zip(&*outs)
            .for_each(|(job, out)| job.check(out));
        if Self::run_packed(jobs, team, simd, outs) {
            return;
        }
        for (job, out) in jobs.iter().zip(outs) {
            job.run(team, simd, out);
        }
    }

    /// Multiplies all as one with dot products of bytes, if every one is of few rows, the processor
    /// has such instructions and there is room for the copies. The extents must have been checked.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn run_packed(jobs: &[Matmul<'_>], team: &Team, simd: Simd, outs: &mut [MatMut<'_>]) -> bool {
        let few = |(job, out): (&Matmul<'_>, &MatMut<'_>)| {
            (1..=FEW_ROWS).contains(&out.rows) && out.cols > 0 && job.x.cols > 0
        };
        jobs.iter().zip(&*outs).all(few) && packed::run(jobs, team, simd, outs)
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn run_packed(_: &[Matmul<'_>], _: &Team, _: Simd, _: &mut [MatMut<'_>]) -> bool {
        false
    }

    /// The sums of no products.
    fn bias_alone(&self, out: &mut MatMut<'_>) {
        for r in 0..out.rows {
            for (n, out) in out.row_mut(r).iter_mut().enumerate() {
                *out = self.bias_at(n) + if self.accumulate { *out } else { 0.0 };
            }
        }
    }

    /// Holds the shapes against each other: what the unsafe code relies on.
    fn check(&self, out: &MatMut<'_>) {
        assert_eq!((out.rows, out.cols), (self.x.rows, self.weight.rows));
        assert_eq!(self.x.cols, self.weight.cols);
        assert!(self.bias.is_none_or(|bias| bias.len() == out.cols));
        let reach = |rows: usize, stride: usize, len: usize| {
            if rows == 0 {
                0
            } else {
                (rows - 1) * stride + len
            }
        };
        assert!(reach(self.x.rows, self.x.stride, self.x.cols) <= self.x.data.len());
        assert_eq!(
            Some(self.weight.row_bytes),
            self.weight.dtype.row_bytes(self.weight.cols)
        );
        assert!(self.weight.rows * self.weight.row_bytes <= self.weight.data.len());
    }

    /// Few columns: the weight is expanded whole.
    fn narrow(&self, team: &Team, out: &mut MatMut<'_>) {
        let weight = &self.weight;
        with_scratch(weight.rows * weight.cols, |dense| {
            for (n, dense) in dense.chunks_exact_mut(weight.cols).enumerate() {
                dequantize_row(weight.dtype, weight.row(n), dense);
            }
            let factor = narrow::Factor {
                data: dense,
                by_row: 1,
                by_col: weight.cols,
            };
            narrow::run(team, &self.x, &factor, self.bias, self.accumulate, out);
        });
    }

    fn bias_at(&self, n: usize) -> f32 {
        self.bias.map_or(0.0, |bias| bias[n])
    }
}

/// Whether two products have their left factor in common.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn same_x(a: &Matmul<'_>, b: &Matmul<'_>) -> bool {
    let of = |job: &Matmul<'_>| (job.x.data.as_ptr(), job.x.rows, job.x.cols, job.x.stride);
    of(a) == of(b)
}

/// Rows of a weight that make a task of some microseconds: enough bytes to be worth handing out,
/// small enough that the threads finish together. A multiple of 4.
fn few_grain(rows: usize, row_bytes: usize, threads: usize) -> usize {
    const TASK_BYTES: usize = 32 << 10;
    let even = rows.div_ceil(threads * 2);
    (TASK_BYTES / row_bytes.max(1))
        .min(even)
        .max(1)
        .next_multiple_of(4)
}
