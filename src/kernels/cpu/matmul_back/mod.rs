//! `dx = dy * weight` on the processor: rows of the weight are expanded into panels as deep as
//! they are many, whose columns need no transposing.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod many;
mod portable;
#[cfg(test)]
mod tests;

#[cfg(target_arch = "x86_64")]
use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use crate::engine::DType;
use crate::engine::cpu::Team;
use crate::engine::view::{Mat, MatMut, Rows};

use super::scratch::with_scratch;
#[cfg(target_arch = "x86_64")]
use super::tile::{Avx2, Avx512};
#[cfg(target_arch = "x86_64")]
use super::unpack::{Unpack, unpack_row};
use super::{Simd, narrow};
use crate::kernels::quant::dequantize_row;

/// One multiplication.
#[derive(Clone, Copy)]
pub struct MatmulBack<'a> {
    pub dy: Mat<'a, f32>,
    pub weight: Rows<'a>,
    /// Add to what `dx` holds.
    pub accumulate: bool,
}

impl MatmulBack<'_> {
    /// Multiplies with the best code of `simd`.
    pub fn run(&self, team: &Team, simd: Simd, dx: &mut MatMut<'_>) {
        let (dy, weight) = (&self.dy, &self.weight);
        assert_eq!((dx.rows, dx.cols), (dy.rows, weight.cols));
        assert_eq!(dy.cols, weight.rows);
        // What the unsafe code below relies on.
        if dy.rows > 0 && dy.cols > 0 {
            assert!((dy.rows - 1) * dy.stride + dy.cols <= dy.data.len());
        }
        assert_eq!(Some(weight.row_bytes), weight.dtype.row_bytes(weight.cols));
        assert!(weight.rows * weight.row_bytes <= weight.data.len());
        if dx.rows == 0 || dx.cols == 0 {
            return;
        }
        match simd {
            _ if dy.cols == 0 => portable::run(self, team, dx),
            _ if narrow::suits(simd, dx.cols) => self.narrow(team, dx),
            #[cfg(target_arch = "x86_64")]
            Simd::Amx if dx.rows >= amx::LEAST_ROWS => amx::run(self, team, dx),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the extents are checked; the level says what the processor has.
            Simd::Avx512 | Simd::Vnni | Simd::Amx => unsafe { many::run::<Avx512>(self, team, dx) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Simd::Avx2 => unsafe { many::run::<Avx2>(self, team, dx) },
            _ => portable::run(self, team, dx),
        }
    }
}

impl MatmulBack<'_> {
    /// Few columns: the weight is expanded whole.
    fn narrow(&self, team: &Team, dx: &mut MatMut<'_>) {
        let weight = &self.weight;
        with_scratch(weight.rows * weight.cols, |dense| {
            for (n, dense) in dense.chunks_exact_mut(weight.cols).enumerate() {
                dequantize_row(weight.dtype, weight.row(n), dense);
            }
            let factor = narrow::Factor {
                data: dense,
                by_row: weight.cols,
                by_col: 1,
            };
            narrow::run(team, &self.dy, &factor, None, self.accumulate, dx);
        });
    }
}

/// Columns that a task may have: whole blocks of the weight.
#[cfg(target_arch = "x86_64")]
fn widths(dtype: DType) -> &'static [usize] {
    if dtype.block_len() <= 32 {
        &[256, 192, 128, 96, 64, 32]
    } else {
        &[768, 512, 256]
    }
}

/// Expands some columns of a row of the weight, and zeros for the rest of `out`.
///
/// # Safety
/// The columns must start on a block and end on one or with the row; the processor must have
/// AVX-512 F, BW, DQ and VL.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,f16c,fma")]
unsafe fn expand<U: Unpack>(weight: &Rows<'_>, row: usize, cols: &Range<usize>, out: &mut [f32]) {
    let (there, beyond) = out.split_at_mut(cols.len());
    // SAFETY: the row goes on for that many columns.
    unsafe {
        unpack_row::<U>(
            weight.row(row).as_ptr().add(cols.start / U::LEN * U::BYTES),
            there,
        )
    };
    beyond.fill(0.0);
}
