//! For processors without AVX2: panels of the weight are expanded and multiplied by `general`.

use super::MatmulBack;
use crate::engine::cpu::Team;
use crate::engine::view::{MatMut, Parts};
use crate::kernels::cpu::general::{self, Operand};
use crate::kernels::cpu::scratch::with_scratch;
use crate::kernels::quant::dequantize_row;
use std::ops::Range;

/// Rows of the weight in a panel.
const DEPTH: usize = 256;

pub fn run(job: &MatmulBack<'_>, team: &Team, dx: &mut MatMut<'_>) {
    let cols = dx.cols;
    // Whole blocks, in two tasks a thread where there are enough.
    let block = job.weight.dtype.block_len().max(32);
    let even = cols.div_ceil(2 * team.threads());
    let grain = even.next_multiple_of(block).min(512);
    let parts = dx.parts();
    team.ranges(cols, grain, |range| {
        with_scratch(DEPTH * range.len(), |dense| {
            if !job.accumulate {
                for r in 0..job.dy.rows {
                    // SAFETY: each column belongs to one range.
                    unsafe { parts.cols_mut(r, range.clone()) }.fill(0.0);
                }
            }
            for start in (0..job.weight.rows).step_by(DEPTH) {
                let rows = start..job.weight.rows.min(start + DEPTH);
                expand(job, rows.clone(), range.clone(), dense);
                add_panel(job, rows, range.clone(), dense, parts);
            }
        });
    });
}

/// Expands the columns `cols`, which are whole blocks, of the weight's `rows`.
fn expand(job: &MatmulBack<'_>, rows: Range<usize>, cols: Range<usize>, dense: &mut [f32]) {
    let weight = &job.weight;
    let bytes_to = |col: usize| col / weight.dtype.block_len() * weight.dtype.block_bytes();
    let bytes = bytes_to(cols.start)..bytes_to(cols.end);
    for (n, dense) in rows.zip(dense.chunks_exact_mut(cols.len())) {
        dequantize_row(weight.dtype, &weight.row(n)[bytes.clone()], dense);
    }
}

fn add_panel(
    job: &MatmulBack<'_>,
    rows: Range<usize>,
    cols: Range<usize>,
    dense: &[f32],
    dx: Parts<'_>,
) {
    let dy = &job.dy;
    assert!(dense.len() >= rows.len() * cols.len() && rows.end <= dy.cols);
    // SAFETY: `MatmulBack::run` checked every extent; the columns are this task's own.
    unsafe {
        general::add(
            (dy.rows, rows.len(), cols.len()),
            Operand {
                at: dy.data.as_ptr().add(rows.start),
                by_row: dy.stride,
                by_col: 1,
            },
            Operand {
                at: dense.as_ptr(),
                by_row: cols.len(),
                by_col: 1,
            },
            dx.at(0, cols.start),
            dx.stride(),
        );
    }
}
