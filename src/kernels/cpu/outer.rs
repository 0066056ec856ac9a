//! `out = dy^T * x` on the processor.

#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod tiled;

use std::ops::Range;

use crate::engine::cpu::Team;
use crate::engine::view::{Mat, MatMut, Parts};

use super::general::{self, Operand};
#[cfg(target_arch = "x86_64")]
use super::simd::Floats;
use super::simd::Simd;

/// One multiplication.
#[derive(Clone, Copy)]
pub struct Outer<'a> {
    pub dy: Mat<'a, f32>,
    pub x: Mat<'a, f32>,
    /// Add to what `out` holds.
    pub accumulate: bool,
}

impl Outer<'_> {
    /// Multiplies with the best code of `simd`.
    pub fn run(&self, team: &Team, simd: Simd, out: &mut MatMut<'_>) {
        assert_eq!((out.rows, out.cols), (self.dy.cols, self.x.cols));
        assert_eq!(self.dy.rows, self.x.rows);
        // What the unsafe code below relies on.
        for factor in [&self.dy, &self.x] {
            if factor.rows > 0 && factor.cols > 0 {
                assert!((factor.rows - 1) * factor.stride + factor.cols <= factor.data.len());
            }
        }
        if out.rows == 0 || out.cols == 0 {
            return;
        }
        match simd.floats() {
            #[cfg(target_arch = "x86_64")]
            Floats::Avx512 => tiled::run(self, team, out),
            _ => {
                let grain = out.cols.div_ceil(2 * team.threads()).next_multiple_of(32);
                let (cols, parts) = (out.cols, out.parts());
                team.ranges(cols, grain, |cols| self.columns(cols, parts));
            }
        }
    }

    /// Some columns, by `general`.
    fn columns(&self, cols: Range<usize>, out: Parts<'_>) {
        if !self.accumulate {
            for n in 0..out.rows() {
                // SAFETY: each column belongs to one task.
                unsafe { out.cols_mut(n, cols.clone()) }.fill(0.0);
            }
        }
        if self.x.rows == 0 {
            return;
        }
        // SAFETY: `run` checked every extent; the columns are this task's own.
        unsafe {
            general::add(
                (out.rows(), self.x.rows, cols.len()),
                Operand {
                    at: self.dy.data.as_ptr(),
                    by_row: 1,
                    by_col: self.dy.stride,
                },
                Operand {
                    at: self.x.data.as_ptr().add(cols.start),
                    by_row: self.x.stride,
                    by_col: 1,
                },
                out.at(0, cols.start),
                out.stride(),
            );
        }
    }
}
