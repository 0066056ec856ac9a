//! Attention by tiles of keys on processors without AVX-512, in whatever vectors they have.

use std::ops::Range;

use super::columns::{Columns, Part, Stack, positions_each, shares, shrink_sums};
use super::{Attention, Stage, by_position};
use crate::engine::cpu::Team;
use crate::engine::view::{MatMut, Parts};
use crate::kernels::cpu::Simd;
use crate::kernels::cpu::product::{COLS, Order, Product};
use crate::kernels::cpu::rows::for_each_level;
use crate::kernels::cpu::scratch::{take, with_scratch};

/// Stacked rows from which tiles are faster than a query at a time.
const LEAST_ROWS: usize = 12;
/// Keys of a tile.
const KEYS: usize = 128;

/// Whether tiles are faster than a query at a time, some times where they leave no thread idle.
pub fn suits(job: &Attention<'_>, team: &Team) -> bool {
    let tasks = job.q.rows.div_ceil(positions_each(job, team.threads())) * job.kv_heads;
    job.q.rows * job.group() >= LEAST_ROWS && 4 * tasks >= team.threads()
}

pub fn run(job: &Attention<'_>, team: &Team, simd: Simd, out: &mut MatMut<'_>) {
    // Rows near each other in the document see much the same keys.
    let order = by_position(job.positions);
    let each = positions_each(job, team.threads());
    let parts = out.parts();
    team.run(order.len().div_ceil(each) * job.kv_heads, |task| {
        let stack = Stack::of_task(job, &order, each, task);
        // SAFETY: each task has its own heads of its own rows.
        unsafe { Block { stack, simd }.run(parts) };
    });
}

/// One task.
struct Block<'a> {
    stack: Stack<'a>,
    simd: Simd,
}

impl Block<'_> {
    /// # Safety
    /// This task's heads and rows of `out` are its own.
    unsafe fn run(&self, out: Parts<'_>) {
        let (stack, job) = (&self.stack, self.stack.job);
        let (dim, width) = (job.head_dim, job.head_dim.next_multiple_of(COLS));
        let columns = stack.len().next_multiple_of(COLS);
        let lens = [
            dim * columns,
            KEYS * columns,
            stack.len() * width,
            KEYS * width,
            Columns::len(columns),
        ];
        with_scratch(lens.iter().sum(), |mut scratch| {
            let [queries, scores, sums, values, state] = lens.map(|len| take(&mut scratch, len));
            let mut state = Columns::new(stack, columns, state);
            self.stack_queries(queries, columns);
            sums.fill(0.0);
            let all = stack.keys();
            for from in all.clone().step_by(KEYS) {
                let tile = from..all.end.min(from + KEYS);
                if let Some(seen_by) = stack.that_see(&tile) {
                    self.score(&tile, &seen_by, queries, scores, &mut state);
                    self.add(&tile, seen_by, scores, values, sums, &state);
                }
            }
            for (column, sums) in sums.chunks_exact(width).enumerate() {
                let (row, head) = stack.place(column);
                // SAFETY: the caller's.
                let out = unsafe { out.cols_mut(row, head * dim..(head + 1) * dim) };
                let share = 1.0 / state.total[column];
                out.iter_mut().zip(sums).for_each(|(to, v)| *to = v * share);
            }
        });
    }

    /// Lays scaled queries out by dimension.
    fn stack_queries(&self, queries: &mut [f32], columns: usize) {
        let (stack, job) = (&self.stack, self.stack.job);
        queries.fill(0.0);
        for column in 0..stack.len() {
            let (row, head) = stack.place(column);
            let query = &job.q.row(row)[head * job.head_dim..][..job.head_dim];
            for (d, query) in query.iter().enumerate() {
                queries[d * columns + column] = query * job.scale;
            }
        }
    }

    /// Makes the shares of the columns that see a tile.
    fn score(
        &self,
        tile: &Range<usize>,
        seen_by: &Range<usize>,
        queries: &[f32],
        scores: &mut [f32],
        state: &mut Columns<'_>,
    ) {
        let (stack, job) = (&self.stack, self.stack.job);
        let columns = state.total.len();
        let at = seen_by.start / COLS * COLS..seen_by.end.next_multiple_of(COLS);
        Product {
            rows: tile.len(),
            depth: job.head_dim,
            cols: at.len(),
            a: &job.keys.data[tile.start * job.keys.stride + stack.head * job.head_dim..],
            order: Order::ByRow(job.keys.stride),
            b: &queries[at.start..],
            b_stride: columns,
            c: &mut scores[at.start..],
            c_stride: columns,
            keep: false,
        }
        .run(self.simd);
        let whole = stack.all_see(tile, &at);
        for column in at.step_by(COLS) {
            let part = Part {
                column,
                columns,
                tile: tile.clone(),
                whole,
            };
            plain_shares(self.simd, &part, scores, state);
        }
    }

    /// Adds a tile's values, each times its share.
    fn add(
        &self,
        tile: &Range<usize>,
        seen_by: Range<usize>,
        scores: &[f32],
        staged: &mut [f32],
        sums: &mut [f32],
        state: &Columns<'_>,
    ) {
        let (stack, job) = (&self.stack, self.stack.job);
        let (dim, width) = (job.head_dim, job.head_dim.next_multiple_of(COLS));
        let sums = &mut sums[seen_by.start * width..];
        shrink_sums(&state.shrink[seen_by.clone()], sums, width);
        let (b, b_stride) = if dim == width {
            let first = tile.start * job.values.stride + stack.head * dim;
            (&job.values.data[first..], job.values.stride)
        } else {
            let columns = stack.head * dim..(stack.head + 1) * dim;
            let stage = Stage {
                from: &job.values,
                columns,
                factor: 1.0,
            };
            stage.rows(tile.clone(), staged);
            (&*staged, width)
        };
        Product {
            rows: seen_by.len(),
            depth: tile.len(),
            cols: width,
            a: &scores[seen_by.start..],
            order: Order::ByDepth(state.total.len()),
            b,
            b_stride,
            c: sums,
            c_stride: width,
            keep: true,
        }
        .run(self.simd);
    }
}

for_each_level! {
    /// Turns scores into shares and brings the state up to date.
    plain_shares = plain_shares_body(part: &Part, scores: &mut [f32], state: &mut Columns<'_>)
}

#[inline(always)]
fn plain_shares_body(part: &Part, scores: &mut [f32], state: &mut Columns<'_>) {
    shares(part, scores, state, |_, _| {});
}
