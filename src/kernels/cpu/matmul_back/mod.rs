//! `dx = dy * weight` on the processor: rows of the weight are expanded into panels as deep as
//! they are many, whose columns need no transposing.

mod portable;
#[cfg(test)]
mod tests;

use crate::engine::cpu::Team;
use crate::engine::view::{Mat, MatMut, Rows};

use super::Simd;

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
        let _ = simd;
        portable::run(self, team, dx);
    }
}
