//! The gradient with respect to queries: a task has some rows of one key head, stacked, and walks
//! the keys they see once.
//!
//! Scores lie transposed, a row for each key, so that keys are multiplied where they lie, what a
//! row knows (its largest score, the sum of its shares) is a vector's lane, and no sum crosses
//! lanes. As in the forward pass, what is summed is rescaled when a larger score appears.

use std::ops::Range;

use super::{BackQ, Stage};
use crate::engine::cpu::Team;
use crate::engine::view::{MatMut, Parts};
use crate::kernels::cpu::Simd;
use crate::kernels::cpu::attention::by_position;
use crate::kernels::cpu::exp::exp;
use crate::kernels::cpu::product::{COLS, Order, Product};
use crate::kernels::cpu::rows::for_each_level;
use crate::kernels::cpu::scratch::{take, with_scratch};

/// Stacked rows of a task.
const STACK: usize = 96;
/// Keys of a tile.
const KEYS: usize = 128;
/// What stands for a score that is not seen.
const LOWEST: f32 = -3.0e38;

pub fn run(back: &BackQ<'_>, team: &Team, simd: Simd, stats: &mut MatMut<'_>, dq: &mut MatMut<'_>) {
    let job = &back.forward;
    // Rows near each other in the document see much the same keys.
    let order = by_position(job.positions);
    let share = (order.len() * job.kv_heads).div_ceil(2 * team.threads());
    let each = (STACK / job.group())
        .min(share.max(8))
        .clamp(1, order.len());
    let (stats, dq) = (stats.parts(), dq.parts());
    team.run(order.len().div_ceil(each) * job.kv_heads, |task| {
        // The last rows see the most keys: they go first.
        let (head, part) = (task % job.kv_heads, task / job.kv_heads);
        let end = order.len() - part * each;
        let block = Block {
            back,
            simd,
            head,
            rows: &order[end.saturating_sub(each)..end],
        };
        // SAFETY: each task has its own heads of its own rows.
        unsafe { block.run(stats, dq) };
    });
}

/// One task: the query heads of one key head, for some rows in the order of their positions.
struct Block<'a> {
    back: &'a BackQ<'a>,
    simd: Simd,
    head: usize,
    rows: &'a [u32],
}

/// What each stacked row, a column of the scores, knows. All have room for whole vectors.
pub(super) struct Columns<'a> {
    /// Keys seen: from, and up to but without.
    starts: &'a mut [u32],
    ends: &'a mut [u32],
    delta: &'a mut [f32],
    largest: &'a mut [f32],
    total: &'a mut [f32],
    /// By how much the last tile made earlier sums smaller.
    shrink: &'a mut [f32],
}

impl Block<'_> {
    /// # Safety
    /// This task's heads and rows of `stats` and `dq` are its own.
    unsafe fn run(&self, stats: Parts<'_>, dq: Parts<'_>) {
        let job = &self.back.forward;
        let (dim, group) = (job.head_dim, job.group());
        let (stack, width) = (self.rows.len() * group, dim.next_multiple_of(COLS));
        let columns = stack.next_multiple_of(COLS);
        let lens = 2 * dim * columns + stack * width + KEYS * (width + 2 * columns) + 6 * columns;
        with_scratch(lens, |mut scratch| {
            let mut piece = |len| take(&mut scratch, len);
            let (queries, slopes) = (piece(dim * columns), piece(dim * columns));
            let (sums, keys) = (piece(stack * width), piece(KEYS * width));
            let (scores, d_shares) = (piece(KEYS * columns), piece(KEYS * columns));
            let mut state = Columns {
                starts: bytemuck::cast_slice_mut(piece(columns)),
                ends: bytemuck::cast_slice_mut(piece(columns)),
                delta: piece(columns),
                largest: piece(columns),
                total: piece(columns),
                shrink: piece(columns),
            };
            sums.fill(0.0);
            self.set_up(&mut state, queries, slopes);
            let seen = |at: usize| job.visible(self.rows[at] as usize);
            let first = (0..self.rows.len()).map(|i| seen(i).start).min();
            let last = seen(self.rows.len() - 1).end;
            for from in (first.unwrap_or(0)..last).step_by(KEYS) {
                let tile = from..last.min(from + KEYS);
                let Some(seen_by) = self.columns_that_see(&tile) else {
                    continue;
                };
                let at = seen_by.start / COLS * COLS;
                let end = seen_by.end.next_multiple_of(COLS);
                self.stage_keys(&tile, keys);
                let product = |a, order, b: &[f32], c: &mut [f32]| {
                    Product {
                        rows: tile.len(),
                        depth: dim,
                        cols: end - at,
                        a,
                        order,
                        b: &b[at..],
                        b_stride: columns,
                        c: &mut c[at..],
                        c_stride: columns,
                        keep: false,
                    }
                    .run(self.simd);
                };
                product(&*keys, Order::ByRow(width), queries, scores);
                let values = &job.values.data[tile.start * job.values.stride + self.head * dim..];
                product(values, Order::ByRow(job.values.stride), slopes, d_shares);
                let whole = self.all_see(&tile, at / group..end.div_ceil(group));
                for column in (at..end).step_by(COLS) {
                    let part = Part {
                        column,
                        columns,
                        tile: tile.clone(),
                        whole,
                    };
                    slopes_of_scores(self.simd, &part, scores, d_shares, &mut state);
                }
                let seen_by = seen_by.start..seen_by.end.min(stack);
                shrink_sums(
                    &state.shrink[seen_by.clone()],
                    &mut sums[seen_by.start * width..],
                    width,
                );
                Product {
                    rows: seen_by.len(),
                    depth: tile.len(),
                    cols: width,
                    a: &scores[seen_by.start..],
                    order: Order::ByDepth(columns),
                    b: keys,
                    b_stride: width,
                    c: &mut sums[seen_by.start * width..],
                    c_stride: width,
                    keep: true,
                }
                .run(self.simd);
            }
            // SAFETY: the caller's.
            unsafe { self.finish(&state, sums, width, stats, dq) };
        });
    }

    /// The row and head of a column.
    fn place(&self, column: usize) -> (usize, usize) {
        let group = self.back.forward.group();
        (
            self.rows[column / group] as usize,
            self.head * group + column % group,
        )
    }

    /// Lays out scaled queries and the output's gradients by dimension, and starts the state.
    fn set_up(&self, state: &mut Columns<'_>, queries: &mut [f32], slopes: &mut [f32]) {
        let job = &self.back.forward;
        let (dim, columns) = (job.head_dim, state.total.len());
        queries.fill(0.0);
        slopes.fill(0.0);
        // Columns beyond the last see everything, of no consequence.
        state.starts.fill(0);
        state.ends.fill(u32::MAX);
        state.delta.fill(0.0);
        state.largest.fill(LOWEST);
        state.total.fill(0.0);
        for column in 0..self.rows.len() * job.group() {
            let (row, head) = self.place(column);
            let visible = job.visible(row);
            state.starts[column] = visible.start as u32;
            state.ends[column] = visible.end as u32;
            let own = head * dim..(head + 1) * dim;
            let slope = &self.back.d_out.row(row)[own.clone()];
            let out = &self.back.out.row(row)[own.clone()];
            state.delta[column] = slope.iter().zip(out).map(|(a, b)| a * b).sum();
            let query = &job.q.row(row)[own];
            for (d, (query, slope)) in query.iter().zip(slope).enumerate() {
                queries[d * columns + column] = query * job.scale;
                slopes[d * columns + column] = *slope;
            }
        }
    }

    /// The columns whose rows see any of `tile`: rows lie in the order of their positions.
    fn columns_that_see(&self, tile: &Range<usize>) -> Option<Range<usize>> {
        let job = &self.back.forward;
        let sees = |&row: &u32| {
            let visible = job.visible(row as usize);
            visible.start < tile.end && visible.end > tile.start
        };
        let first = self.rows.iter().position(sees)?;
        let last = self.rows.iter().rposition(sees)?;
        Some(first * job.group()..(last + 1) * job.group())
    }

    /// Whether every row of some sees all of `tile`.
    fn all_see(&self, tile: &Range<usize>, rows: Range<usize>) -> bool {
        let rows = &self.rows[rows.start..rows.end.min(self.rows.len())];
        rows.iter().all(|&row| {
            let visible = self.back.forward.visible(row as usize);
            visible.start <= tile.start && visible.end >= tile.end
        })
    }

    fn stage_keys(&self, tile: &Range<usize>, keys: &mut [f32]) {
        let job = &self.back.forward;
        let dim = job.head_dim;
        Stage {
            from: &job.keys,
            columns: self.head * dim..(self.head + 1) * dim,
            factor: 1.0,
        }
        .rows(tile.clone(), keys);
    }

    /// # Safety
    /// As `run` says.
    unsafe fn finish(
        &self,
        state: &Columns<'_>,
        sums: &[f32],
        width: usize,
        stats: Parts<'_>,
        dq: Parts<'_>,
    ) {
        let dim = self.back.forward.head_dim;
        for (column, sums) in sums.chunks_exact(width).enumerate() {
            let (row, head) = self.place(column);
            // SAFETY: the caller's.
            let (stats, dq) = unsafe {
                (
                    stats.cols_mut(row, 2 * head..2 * head + 2),
                    dq.cols_mut(row, head * dim..(head + 1) * dim),
                )
            };
            let total = state.total[column];
            stats.copy_from_slice(&[state.largest[column] + total.ln(), state.delta[column]]);
            let factor = self.back.forward.scale / total;
            dq.iter_mut().zip(sums).for_each(|(to, v)| *to = v * factor);
        }
    }
}

/// `COLS` columns of a tile's scores.
pub(super) struct Part {
    column: usize,
    /// Columns of the scores, in all.
    columns: usize,
    tile: Range<usize>,
    /// Every one sees all of the tile.
    whole: bool,
}

for_each_level! {
    /// Turns scores into `share * (d_share - delta)` and brings the state up to date.
    slopes_of_scores = slopes_of_scores_body(
        part: &Part, scores: &mut [f32], d_shares: &[f32], state: &mut Columns<'_>
    )
}

#[inline(always)]
fn slopes_of_scores_body(
    part: &Part,
    scores: &mut [f32],
    d_shares: &[f32],
    state: &mut Columns<'_>,
) {
    let at = part.column..part.column + COLS;
    let rows = || (0..part.tile.len()).map(|i| i * part.columns + part.column);
    let lanes = |from: &[f32]| -> [f32; COLS] { std::array::from_fn(|i| from[i]) };
    if !part.whole {
        let starts = &state.starts[at.clone()];
        let ends = &state.ends[at.clone()];
        for (key, row) in rows().enumerate() {
            let key = (part.tile.start + key) as u32;
            let row = &mut scores[row..row + COLS];
            for ((score, start), end) in row.iter_mut().zip(starts).zip(ends) {
                let seen = (*start <= key) & (key < *end);
                *score = if seen { *score } else { LOWEST };
            }
        }
    }
    let before = lanes(&state.largest[at.clone()]);
    let delta = lanes(&state.delta[at.clone()]);
    let mut most = before;
    for row in rows() {
        for (most, &score) in most.iter_mut().zip(&scores[row..row + COLS]) {
            *most = if score > *most { score } else { *most };
        }
    }
    let mut sums = [0f32; COLS];
    for row in rows() {
        let d_shares = &d_shares[row..row + COLS];
        let scores = &mut scores[row..row + COLS];
        for i in 0..COLS {
            let share = exp(scores[i] - most[i]);
            let share = if scores[i] <= LOWEST { 0.0 } else { share };
            sums[i] += share;
            scores[i] = share * (d_shares[i] - delta[i]);
        }
    }
    let total = &mut state.total[at.clone()];
    let shrink = &mut state.shrink[at.clone()];
    for i in 0..COLS {
        shrink[i] = exp(before[i] - most[i]);
        total[i] = total[i] * shrink[i] + sums[i];
    }
    state.largest[at].copy_from_slice(&most);
}

/// Multiplies each row of sums by its factor.
fn shrink_sums(shrink: &[f32], sums: &mut [f32], width: usize) {
    for (&shrink, sums) in shrink.iter().zip(sums.chunks_exact_mut(width)) {
        if shrink != 1.0 {
            sums.iter_mut().for_each(|v| *v *= shrink);
        }
    }
}
