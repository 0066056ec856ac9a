//! The gradient with respect to queries: a task has some rows of one key head, stacked, and walks
//! the keys they see once.

use std::ops::Range;

use super::{BackQ, finish};
use crate::engine::cpu::Team;
use crate::engine::view::{MatMut, Parts};
use crate::kernels::cpu::Simd;
use crate::kernels::cpu::attention::columns::{
    Columns, Part, Stack, positions_each, shares, shrink_sums,
};
use crate::kernels::cpu::attention::{Stage, by_position};
use crate::kernels::cpu::product::{COLS, Order, Product};
use crate::kernels::cpu::rows::for_each_level;
use crate::kernels::cpu::scratch::{take, with_scratch};

/// Keys of a tile.
const KEYS: usize = 128;

pub fn run(back: &BackQ<'_>, team: &Team, simd: Simd, stats: &mut MatMut<'_>, dq: &mut MatMut<'_>) {
    let job = &back.forward;
    // Rows near each other in the document see much the same keys.
    let order = by_position(job.positions);
    let each = positions_each(job, team.threads());
    let (stats, dq) = (stats.parts(), dq.parts());
    team.run(order.len().div_ceil(each) * job.kv_heads, |task| {
        let stack = Stack::of_task(job, &order, each, task);
        // SAFETY: each task has its own heads of its own rows.
        unsafe { Block { back, simd, stack }.run(stats, dq) };
    });
}

/// One task.
struct Block<'a> {
    back: &'a BackQ<'a>,
    simd: Simd,
    stack: Stack<'a>,
}

/// What a task has of all its columns, and of one tile.
struct Scratch<'a> {
    /// Scaled queries and the output's gradients, by dimension.
    queries: &'a mut [f32],
    slopes: &'a mut [f32],
    /// The output's gradient times the output.
    delta: &'a mut [f32],
    /// Gradients, a row for each column of the scores.
    sums: &'a mut [f32],
    keys: &'a mut [f32],
    scores: &'a mut [f32],
    d_shares: &'a mut [f32],
}

impl Block<'_> {
    /// # Safety
    /// This task's heads and rows of `stats` and `dq` are its own.
    unsafe fn run(&self, stats: Parts<'_>, dq: Parts<'_>) {
        let (stack, dim) = (&self.stack, self.back.forward.head_dim);
        let width = dim.next_multiple_of(COLS);
        let columns = stack.len().next_multiple_of(COLS);
        let lens = [
            dim * columns,
            dim * columns,
            columns,
            stack.len() * width,
            KEYS * width,
            KEYS * columns,
            KEYS * columns,
            Columns::len(columns),
        ];
        with_scratch(lens.iter().sum(), |mut scratch| {
            let pieces = lens.map(|len| take(&mut scratch, len));
            let [queries, slopes, delta, sums, keys, scores, d_shares, state] = pieces;
            let mut state = Columns::new(stack, columns, state);
            sums.fill(0.0);
            let mut scratch = Scratch {
                queries,
                slopes,
                delta,
                sums,
                keys,
                scores,
                d_shares,
            };
            self.set_up(&mut scratch, columns);
            let all = stack.keys();
            for from in all.clone().step_by(KEYS) {
                let tile = from..all.end.min(from + KEYS);
                if let Some(seen_by) = stack.that_see(&tile) {
                    self.add(&tile, seen_by, &mut scratch, &mut state);
                }
            }
            // SAFETY: the caller's.
            unsafe { finish(stack, &state, scratch.delta, scratch.sums, stats, dq) };
        });
    }

    /// Lays out scaled queries and the output's gradients by dimension.
    fn set_up(&self, scratch: &mut Scratch<'_>, columns: usize) {
        let (stack, job) = (&self.stack, &self.back.forward);
        let dim = job.head_dim;
        scratch.queries.fill(0.0);
        scratch.slopes.fill(0.0);
        scratch.delta.fill(0.0);
        for column in 0..stack.len() {
            let (row, head) = stack.place(column);
            let own = head * dim..(head + 1) * dim;
            let slope = &self.back.d_out.row(row)[own.clone()];
            let out = &self.back.out.row(row)[own.clone()];
            scratch.delta[column] = slope.iter().zip(out).map(|(a, b)| a * b).sum();
            let query = &job.q.row(row)[own];
            for (d, (query, slope)) in query.iter().zip(slope).enumerate() {
                scratch.queries[d * columns + column] = query * job.scale;
                scratch.slopes[d * columns + column] = *slope;
            }
        }
    }

    /// Adds what the keys of a tile contribute to the columns that see them.
    fn add(
        &self,
        tile: &Range<usize>,
        seen_by: Range<usize>,
        scratch: &mut Scratch<'_>,
        state: &mut Columns<'_>,
    ) {
        let (stack, job) = (&self.stack, &self.back.forward);
        let (dim, width) = (job.head_dim, job.head_dim.next_multiple_of(COLS));
        let columns = state.total.len();
        let at = seen_by.start / COLS * COLS..seen_by.end.next_multiple_of(COLS);
        let own = stack.head * dim..(stack.head + 1) * dim;
        let stage = Stage {
            from: &job.keys,
            columns: own.clone(),
            factor: 1.0,
        };
        stage.rows(tile.clone(), scratch.keys);
        let product = |a, order, b: &[f32], c: &mut [f32]| {
            Product {
                rows: tile.len(),
                depth: dim,
                cols: at.len(),
                a,
                order,
                b: &b[at.start..],
                b_stride: columns,
                c: &mut c[at.start..],
                c_stride: columns,
                keep: false,
            }
            .run(self.simd);
        };
        let by_row = Order::ByRow(width);
        product(&*scratch.keys, by_row, scratch.queries, scratch.scores);
        let values = &job.values.data[tile.start * job.values.stride + own.start..];
        let by_row = Order::ByRow(job.values.stride);
        product(values, by_row, scratch.slopes, scratch.d_shares);
        let whole = stack.all_see(tile, &at);
        for column in at.step_by(COLS) {
            let part = Part {
                column,
                columns,
                tile: tile.clone(),
                whole,
            };
            let (d_shares, delta) = (&*scratch.d_shares, &*scratch.delta);
            slopes_of_scores(self.simd, &part, scratch.scores, d_shares, delta, state);
        }
        let sums = &mut scratch.sums[seen_by.start * width..];
        shrink_sums(&state.shrink[seen_by.clone()], sums, width);
        Product {
            rows: seen_by.len(),
            depth: tile.len(),
            cols: width,
            a: &scratch.scores[seen_by.start..],
            order: Order::ByDepth(columns),
            b: scratch.keys,
            b_stride: width,
            c: sums,
            c_stride: width,
            keep: true,
        }
        .run(self.simd);
    }
}

for_each_level! {
    /// Turns scores into `share * (d_share - delta)` and brings the state up to date.
    slopes_of_scores = slopes_of_scores_body(
        part: &Part, scores: &mut [f32], d_shares: &[f32], delta: &[f32], state: &mut Columns<'_>
    )
}

#[inline(always)]
fn slopes_of_scores_body(
    part: &Part,
    scores: &mut [f32],
    d_shares: &[f32],
    delta: &[f32],
    state: &mut Columns<'_>,
) {
    let delta: [f32; COLS] = std::array::from_fn(|i| delta[part.column + i]);
    shares(part, scores, state, |row, shares| {
        let d_shares = &d_shares[row..row + COLS];
        for ((share, d_share), delta) in shares.iter_mut().zip(d_shares).zip(delta) {
            *share *= d_share - delta;
        }
    });
}
