//! Products with few columns: each thread takes some rows, and reads them once.

use super::general::{self, Operand};
use super::simd::{Floats, Simd};
use crate::engine::cpu::Team;
use crate::engine::view::{Mat, MatMut};

/// Columns up to which panels of 32 would be half empty.
const MOST_COLS: usize = 16;

/// Whether so few columns leave half of the panels of `simd` empty.
pub fn suits(simd: Simd, cols: usize) -> bool {
    cols <= match simd.floats() {
        Floats::Avx2 | Floats::Neon => MOST_COLS / 2,
        Floats::Portable | Floats::Avx512 => MOST_COLS,
    }
}

/// A dense right factor: `data[k * by_row + n * by_col]`.
pub struct Factor<'a> {
    pub data: &'a [f32],
    pub by_row: usize,
    pub by_col: usize,
}

/// Sets `out`, or adds to it where `accumulate`, to `x * factor` and the bias.
pub fn run(
    team: &Team,
    x: &Mat<'_>,
    factor: &Factor<'_>,
    bias: Option<&[f32]>,
    accumulate: bool,
    out: &mut MatMut<'_>,
) {
    let (rows, cols) = (out.rows, out.cols);
    if rows == 0 || cols == 0 {
        return;
    }
    assert!(rows <= x.rows && bias.is_none_or(|bias| bias.len() == cols));
    if x.cols > 0 {
        let last = (x.cols - 1) * factor.by_row + (cols - 1) * factor.by_col;
        assert!(last < factor.data.len() && (rows - 1) * x.stride + x.cols <= x.data.len());
    }
    // Enough rows that the factor's packing does not show.
    let grain = rows.div_ceil(2 * team.threads()).max(64);
    let parts = out.parts();
    team.ranges(rows, grain, |range| {
        for r in range.clone() {
            // SAFETY: each row belongs to one range.
            let out = unsafe { parts.row_mut(r) };
            if !accumulate {
                out.fill(0.0);
            }
            if let Some(bias) = bias {
                out.iter_mut()
                    .zip(bias)
                    .for_each(|(out, bias)| *out += bias);
            }
        }
        if x.cols == 0 {
            return;
        }
        // SAFETY: every extent is checked above; the rows are this task's own.
        unsafe {
            general::add(
                (range.len(), x.cols, cols),
                Operand {
                    at: x.data.as_ptr().add(range.start * x.stride),
                    by_row: x.stride,
                    by_col: 1,
                },
                Operand {
                    at: factor.data.as_ptr(),
                    by_row: factor.by_row,
                    by_col: factor.by_col,
                },
                parts.at(range.start, 0),
                parts.stride(),
            );
        }
    });
}
