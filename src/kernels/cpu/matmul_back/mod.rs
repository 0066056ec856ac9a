//! `dx = dy * weight` on the processor: rows of the weight are expanded into panels as deep as
//! they are many, whose columns need no transposing.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod many;
mod portable;
#[cfg(test)]
mod tests;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::engine::DType;
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
        match simd.floats() {
            _ if dy.cols == 0 => portable::run(self, team, dx),
            _ if narrow::suits(simd, dx.cols) => self.narrow(team, dx),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the extents are checked; the level says what the processor has.
            Floats::Avx512 => unsafe { many::run::<Avx512>(self, team, dx) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Floats::Avx2 => unsafe { many::run::<Avx2>(self, team, dx) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Floats::Neon => unsafe { many::run::<Neon>(self, team, dx) },
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
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn widths(dtype: DType) -> &'static [usize] {
    if dtype.block_len() <= 32 {
        &[256, 192, 128, 96, 64, 32]
    } else {
        &[768, 512, 256]
    }
}
