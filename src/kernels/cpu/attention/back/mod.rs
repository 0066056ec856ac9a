//! Gradients of attention on the processor, by tiles of rows and keys. Whoever sums a gradient does
//! so alone. Those with respect to queries, or to keys and values, keep no more than a tile of
//! scores; all together (`together`) keep those of some rows and multiply less.

mod division;
mod keys;
mod queries;
#[cfg(test)]
mod tests;
mod together;

use std::ops::Range;

use super::columns::{Columns, Stack};
use super::{Attention, sequences};
use crate::engine::cpu::Team;
use crate::engine::view::{Mat, MatMut, Parts};
use crate::kernels::cpu::Simd;
use crate::kernels::cpu::product::COLS;
use division::Division;

/// The gradient with respect to the queries.
#[derive(Clone, Copy)]
pub struct BackQ<'a> {
    pub forward: Attention<'a>,
    /// What the forward pass gave.
    pub out: Mat<'a, f32>,
    pub d_out: Mat<'a, f32>,
}

/// The gradients with respect to keys and values.
#[derive(Clone, Copy)]
pub struct BackKv<'a> {
    /// The forward pass; its positions rise.
    pub forward: Attention<'a>,
    pub d_out: Mat<'a, f32>,
    pub stats: Mat<'a, f32>,
}

/// Where all gradients go.
pub struct Targets<'a, 'b> {
    pub stats: &'a mut MatMut<'b>,
    pub dq: &'a mut MatMut<'b>,
    pub dk: &'a mut MatMut<'b>,
    pub dv: &'a mut MatMut<'b>,
}

fn check_kv(job: &Attention<'_>, dk: &MatMut<'_>, dv: &MatMut<'_>) {
    let each = match job.sequence {
        0 => job.positions.len().max(1),
        rows => rows,
    };
    assert!(
        job.positions.chunks(each).all(|own| own.is_sorted()),
        "the gradients of keys and values need rising positions"
    );
    for gradient in [dk, dv] {
        assert_eq!(
            (gradient.rows, gradient.cols),
            (job.keys.rows, job.keys.cols)
        );
    }
}

impl BackQ<'_> {
    /// Writes `stats` and `dq` with the best code of `simd`.
    pub fn run(&self, team: &Team, simd: Simd, stats: &mut MatMut<'_>, dq: &mut MatMut<'_>) {
        self.check(stats, dq);
        if dq.rows == 0 || dq.cols == 0 {
            return;
        }
        if self.forward.sequence > 0 {
            return sequences::back_q(self, team, simd, stats, dq);
        }
        queries::run(self, team, simd, stats, dq);
    }

    /// As that and [`BackKv::run`] with the same `stats`.
    pub fn run_with_kv(&self, team: &Team, simd: Simd, to: Targets<'_, '_>) {
        let forward = self.forward;
        self.check(to.stats, to.dq);
        check_kv(&forward, to.dk, to.dv);
        let empty = to.dq.rows == 0 || to.dq.cols == 0;
        if !empty && forward.sequence > 0 {
            return sequences::back(self, team, simd, to);
        }
        let division = (!empty).then(|| Division::of(&forward, team));
        if let Some(division) = division.flatten() {
            return together::run(self, &division, team, simd, to);
        }
        self.run(team, simd, to.stats, to.dq);
        let (d_out, stats) = (self.d_out, to.stats.as_mat());
        BackKv {
            forward,
            d_out,
            stats,
        }
        .run(team, simd, to.dk, to.dv);
    }

    fn check(&self, stats: &MatMut<'_>, dq: &MatMut<'_>) {
        let job = &self.forward;
        job.check();
        for (rows, cols) in [
            (dq.rows, dq.cols),
            (self.out.rows, self.out.cols),
            (self.d_out.rows, self.d_out.cols),
        ] {
            assert_eq!((rows, cols), (job.q.rows, job.q.cols));
        }
        assert_eq!((stats.rows, stats.cols), (job.q.rows, 2 * job.heads));
    }
}

impl BackKv<'_> {
    /// Writes `dk` and `dv` with the best code of `simd`.
    pub fn run(&self, team: &Team, simd: Simd, dk: &mut MatMut<'_>, dv: &mut MatMut<'_>) {
        let job = &self.forward;
        job.check();
        check_kv(job, dk, dv);
        assert_eq!((self.d_out.rows, self.d_out.cols), (job.q.rows, job.q.cols));
        assert_eq!(
            (self.stats.rows, self.stats.cols),
            (job.q.rows, 2 * job.heads)
        );
        if dk.rows == 0 || dk.cols == 0 {
            return;
        }
        if job.sequence > 0 {
            return sequences::back_kv(self, team, simd, dk, dv);
        }
        keys::run(self, team, simd, dk, dv);
    }

    /// The rows that see any of `keys`: those at positions from the first key on, up to where the
    /// last key leaves the window.
    fn seen_by(&self, keys: &Range<usize>) -> Range<usize> {
        let positions = self.forward.positions;
        let start = positions.partition_point(|&p| (p as usize) < keys.start);
        let end = match self.forward.window {
            0 => positions.len(),
            window => positions.partition_point(|&p| (p as usize) < keys.end - 1 + window as usize),
        };
        start..end.max(start)
    }
}

/// Writes what some stacked rows know once they have seen all keys: `stats`, and the gradients with
/// respect to their queries from the sums of exponentials, a row for each column.
///
/// # Safety
/// The stack's rows and heads of `stats` and `dq` are the caller's own.
unsafe fn finish(
    stack: &Stack<'_>,
    state: &Columns<'_>,
    delta: &[f32],
    sums: &[f32],
    stats: Parts<'_>,
    dq: Parts<'_>,
) {
    let dim = stack.job.head_dim;
    let rows = sums.chunks_exact(dim.next_multiple_of(COLS));
    for (column, sums) in rows.enumerate().take(stack.len()) {
        let (row, head) = stack.place(column);
        // SAFETY: the caller's.
        let (stats, dq) = unsafe {
            (
                stats.cols_mut(row, 2 * head..2 * head + 2),
                dq.cols_mut(row, head * dim..(head + 1) * dim),
            )
        };
        let total = state.total[column];
        stats.copy_from_slice(&[state.largest[column] + total.ln(), delta[column]]);
        let factor = stack.job.scale / total;
        dq.iter_mut().zip(sums).for_each(|(to, v)| *to = v * factor);
    }
}
