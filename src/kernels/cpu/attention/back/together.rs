//! All gradients at once, with the scores made once: a task has a part of the rows for one key head
//! and takes some of them at a time, stacked, through all keys that they see.
//!
//! Scores lie a row for each key and a column for each query, as in `columns`, and are kept for all
//! keys, because a share is known only when all have been seen. Parts sum the gradients of keys and
//! values apart; their sums are added in a fixed order.

use std::ops::Range;

use super::division::{Division, add_parts, seen, sums_len, width};
use super::{BackQ, Targets, finish};
use crate::engine::cpu::Team;
use crate::engine::view::{MatMut, Parts};
use crate::kernels::cpu::Simd;
use crate::kernels::cpu::attention::Stage;
use crate::kernels::cpu::attention::columns::{Columns, Part, SMALLEST, Stack, hide_unseen};
use crate::kernels::cpu::exp::exp;
use crate::kernels::cpu::product::{COLS, Order, Product};
use crate::kernels::cpu::rows::for_each_level;
use crate::kernels::cpu::scratch::{take, with_scratch};

/// Keys of a tile.
const KEYS: usize = 128;

/// Rows must be in the order of their positions.
pub fn run(back: &BackQ<'_>, division: &Division, team: &Team, simd: Simd, to: Targets<'_, '_>) {
    let job = &back.forward;
    let (len, tasks) = (sums_len(job), division.parts.len() * job.kv_heads);
    with_scratch(tasks * len, |sums| {
        let mut sums = MatMut::new(sums, tasks, len, len);
        let (own, stats, dq) = (sums.parts(), to.stats.parts(), to.dq.parts());
        team.run(tasks, |task| {
            let (head, part) = (task % job.kv_heads, task / job.kv_heads);
            let block = Block {
                back,
                simd,
                division,
                head,
                rows: division.parts[part].clone(),
            };
            // SAFETY: each task has its own row of sums, and its own head of its own rows.
            unsafe { block.run(own.row_mut(task), stats, dq) };
        });
        add_parts(job, division, team, sums.as_mat(), (to.dk, to.dv));
    });
}

/// One task.
struct Block<'a> {
    back: &'a BackQ<'a>,
    simd: Simd,
    division: &'a Division,
    head: usize,
    rows: Range<usize>,
}

/// What a task has of the rows it takes at a time, and of one tile.
struct Scratch<'a> {
    /// Scaled queries and the output's gradients, by dimension and by row. Those by row are then
    /// divided by the sum of their exponentials.
    queries: [&'a mut [f32]; 2],
    slopes: [&'a mut [f32]; 2],
    /// The output's gradient times the output.
    delta: &'a mut [f32],
    /// Gradients of queries, a row for each column of the scores.
    dq: &'a mut [f32],
    /// Scores, and then their exponentials.
    scores: &'a mut [f32],
    /// Gradients of the shares of one tile, and then of its scores.
    d_shares: &'a mut [f32],
    keys: &'a mut [f32],
}

/// What a task sums, from the first key on.
struct Sums<'a> {
    dk: &'a mut [f32],
    dv: &'a mut [f32],
}

/// A tile of keys and the columns that see some of them.
struct Tile {
    keys: Range<usize>,
    seen_by: Range<usize>,
    /// Where its scores begin.
    scores: usize,
}

impl Tile {
    /// The columns that are multiplied, whole vectors.
    fn columns(&self) -> Range<usize> {
        self.seen_by.start / COLS * COLS..self.seen_by.end.next_multiple_of(COLS)
    }
}

impl Block<'_> {
    /// # Safety
    /// This task's head and rows of `stats` and `dq` are its own.
    unsafe fn run(&self, sums: &mut [f32], stats: Parts<'_>, dq: Parts<'_>) {
        let job = &self.back.forward;
        let (dim, width, each) = (job.head_dim, width(job), self.division.each);
        let columns = (each * job.group()).next_multiple_of(COLS);
        let stacks = || {
            self.rows
                .clone()
                .step_by(each)
                .map(|row| row..self.rows.end.min(row + each))
        };
        let keys = stacks().map(|rows| seen(job, &rows).len()).max();
        let lens = [
            dim * columns,
            columns * width,
            dim * columns,
            columns * width,
            columns,
            columns * width,
            keys.unwrap_or(0) * columns,
            KEYS * columns,
            KEYS * width,
            Columns::len(columns),
        ];
        let (dk, dv) = sums.split_at_mut(sums.len() / 2);
        let mut sums = Sums { dk, dv };
        let all = seen(job, &self.rows);
        for sums in [&mut *sums.dk, &mut *sums.dv] {
            sums[all.start * width..all.end * width].fill(0.0);
        }
        with_scratch(lens.iter().sum(), |mut scratch| {
            let pieces = lens.map(|len| take(&mut scratch, len));
            let [
                q,
                q_rows,
                d,
                d_rows,
                delta,
                own_dq,
                scores,
                d_shares,
                keys,
                state,
            ] = pieces;
            let mut scratch = Scratch {
                queries: [q, q_rows],
                slopes: [d, d_rows],
                delta,
                dq: own_dq,
                scores,
                d_shares,
                keys,
            };
            for rows in stacks() {
                let stack = Stack {
                    job,
                    head: self.head,
                    rows: &self.division.order[rows],
                };
                let mut state = Columns::new(&stack, columns, state);
                self.stack(&stack, &mut scratch, &mut state, &mut sums);
                // SAFETY: the caller's.
                unsafe { finish(&stack, &state, scratch.delta, scratch.dq, stats, dq) };
            }
        });
    }

    /// Adds what some rows contribute.
    fn stack(
        &self,
        stack: &Stack<'_>,
        scratch: &mut Scratch<'_>,
        state: &mut Columns<'_>,
        sums: &mut Sums<'_>,
    ) {
        let columns = state.total.len();
        self.set_up(stack, scratch, columns);
        let all = stack.keys();
        let tiles: Vec<Tile> = all
            .clone()
            .step_by(KEYS)
            .filter_map(|from| {
                let keys = from..all.end.min(from + KEYS);
                Some(Tile {
                    seen_by: stack.that_see(&keys)?,
                    scores: (from - all.start) * columns,
                    keys,
                })
            })
            .collect();
        for tile in &tiles {
            self.score(stack, tile, scratch, state);
        }
        for tile in &tiles {
            let scores = &mut scratch.scores[tile.scores..][..tile.keys.len() * columns];
            exponentials(self.simd, scores, tile.columns(), state);
        }
        self.divide_by_totals(stack, scratch, state);
        for tile in &tiles {
            self.add(stack, tile, scratch, sums, columns);
        }
    }

    fn set_up(&self, stack: &Stack<'_>, scratch: &mut Scratch<'_>, columns: usize) {
        let job = &self.back.forward;
        let (dim, width) = (job.head_dim, width(job));
        for both in [&mut scratch.queries, &mut scratch.slopes] {
            both.iter_mut().for_each(|values| values.fill(0.0));
        }
        scratch.delta.fill(0.0);
        scratch.dq.fill(0.0);
        for column in 0..stack.len() {
            let (row, head) = stack.place(column);
            let own = head * dim..(head + 1) * dim;
            let slope = &self.back.d_out.row(row)[own.clone()];
            let out = &self.back.out.row(row)[own.clone()];
            scratch.delta[column] = slope.iter().zip(out).map(|(a, b)| a * b).sum();
            let query = &job.q.row(row)[own];
            for (from, factor, [by_dim, by_row]) in [
                (query, job.scale, &mut scratch.queries),
                (slope, 1.0, &mut scratch.slopes),
            ] {
                let by_row = &mut by_row[column * width..][..dim];
                for (d, (to, value)) in by_row.iter_mut().zip(from).enumerate() {
                    *to = value * factor;
                    by_dim[d * columns + column] = *to;
                }
            }
        }
    }

    /// Scores a tile and looks for each column's largest.
    fn score(
        &self,
        stack: &Stack<'_>,
        tile: &Tile,
        scratch: &mut Scratch<'_>,
        state: &mut Columns<'_>,
    ) {
        let job = &self.back.forward;
        let (columns, at) = (state.total.len(), tile.columns());
        let keys = &job.keys.data[tile.keys.start * job.keys.stride + stack.head * job.head_dim..];
        let scores = &mut scratch.scores[tile.scores..][..tile.keys.len() * columns];
        Product {
            rows: tile.keys.len(),
            depth: job.head_dim,
            cols: at.len(),
            a: keys,
            order: Order::ByRow(job.keys.stride),
            b: &scratch.queries[0][at.start..],
            b_stride: columns,
            c: &mut scores[at.start..],
            c_stride: columns,
            keep: false,
        }
        .run(self.simd);
        let whole = stack.all_see(&tile.keys, &at);
        for column in at.step_by(COLS) {
            let part = Part {
                column,
                columns,
                tile: tile.keys.clone(),
                whole,
            };
            largest(self.simd, &part, scores, state);
        }
    }

    /// Makes exponentials shares in whatever they are multiplied with by row.
    fn divide_by_totals(&self, stack: &Stack<'_>, scratch: &mut Scratch<'_>, state: &Columns<'_>) {
        let width = width(&self.back.forward);
        for by_row in [&mut scratch.queries[1], &mut scratch.slopes[1]] {
            let rows = by_row.chunks_exact_mut(width).take(stack.len());
            for (row, total) in rows.zip(&*state.total) {
                let share = 1.0 / total;
                row.iter_mut().for_each(|v| *v *= share);
            }
        }
    }

    /// Adds what the keys of a tile contribute to their gradients and to those of the queries.
    fn add(
        &self,
        stack: &Stack<'_>,
        tile: &Tile,
        scratch: &mut Scratch<'_>,
        sums: &mut Sums<'_>,
        columns: usize,
    ) {
        let job = &self.back.forward;
        let (dim, width) = (job.head_dim, width(job));
        let (count, at, seen_by) = (tile.keys.len(), tile.columns(), tile.seen_by.clone());
        let own = stack.head * dim..(stack.head + 1) * dim;
        let shares = &scratch.scores[tile.scores..][..count * columns];
        Product {
            rows: count,
            depth: dim,
            cols: at.len(),
            a: &job.values.data[tile.keys.start * job.values.stride + own.start..],
            order: Order::ByRow(job.values.stride),
            b: &scratch.slopes[0][at.start..],
            b_stride: columns,
            c: &mut scratch.d_shares[at.start..],
            c_stride: columns,
            keep: false,
        }
        .run(self.simd);
        let d_scores = &mut scratch.d_shares[..count * columns];
        slopes_of_scores(self.simd, shares, d_scores, scratch.delta, at);
        for (a, b, c) in [
            (shares, &scratch.slopes[1], &mut *sums.dv),
            (&*d_scores, &scratch.queries[1], &mut *sums.dk),
        ] {
            Product {
                rows: count,
                depth: seen_by.len(),
                cols: width,
                a: &a[seen_by.start..],
                order: Order::ByRow(columns),
                b: &b[seen_by.start * width..],
                b_stride: width,
                c: &mut c[tile.keys.start * width..],
                c_stride: width,
                keep: true,
            }
            .run(self.simd);
        }
        let (keys, stride) = if dim == width {
            let first = tile.keys.start * job.keys.stride + own.start;
            (&job.keys.data[first..], job.keys.stride)
        } else {
            let stage = Stage {
                from: &job.keys,
                columns: own,
                factor: 1.0,
            };
            stage.rows(tile.keys.clone(), scratch.keys);
            (&*scratch.keys, width)
        };
        Product {
            rows: seen_by.len(),
            depth: count,
            cols: width,
            a: &d_scores[seen_by.start..],
            order: Order::ByDepth(columns),
            b: keys,
            b_stride: stride,
            c: &mut scratch.dq[seen_by.start * width..],
            c_stride: width,
            keep: true,
        }
        .run(self.simd);
    }
}

for_each_level! {
    /// Hides the scores that are not seen and brings the largest of each column up to date.
    largest = largest_body(part: &Part, scores: &mut [f32], state: &mut Columns<'_>)
}

#[inline(always)]
fn largest_body(part: &Part, scores: &mut [f32], state: &mut Columns<'_>) {
    hide_unseen(part, scores, state);
    let largest = &mut state.largest[part.column..part.column + COLS];
    for scores in scores.chunks_exact(part.columns).take(part.tile.len()) {
        let scores = &scores[part.column..part.column + COLS];
        for (most, &score) in largest.iter_mut().zip(scores) {
            *most = if score > *most { score } else { *most };
        }
    }
}

for_each_level! {
    /// Turns the scores of some columns into exponentials of what they are below the largest, and
    /// adds them up.
    exponentials = exponentials_body(scores: &mut [f32], at: Range<usize>, state: &mut Columns<'_>)
}

#[inline(always)]
fn exponentials_body(scores: &mut [f32], at: Range<usize>, state: &mut Columns<'_>) {
    let columns = state.total.len();
    let (largest, total) = (&state.largest[at.clone()], &mut state.total[at.clone()]);
    for scores in scores.chunks_exact_mut(columns) {
        let scores = scores[at.clone()].iter_mut();
        for ((score, most), total) in scores.zip(largest).zip(&mut *total) {
            // Scores that are not seen are far below.
            let below = *score - most;
            let share = if below < SMALLEST { 0.0 } else { exp(below) };
            *total += share;
            *score = share;
        }
    }
}

for_each_level! {
    /// `d_shares = shares * (d_shares - delta)`, in some columns
    slopes_of_scores = slopes_of_scores_body(
        shares: &[f32], d_shares: &mut [f32], delta: &[f32], at: Range<usize>
    )
}

#[inline(always)]
fn slopes_of_scores_body(shares: &[f32], d_shares: &mut [f32], delta: &[f32], at: Range<usize>) {
    let columns = delta.len();
    let rows = shares
        .chunks_exact(columns)
        .zip(d_shares.chunks_exact_mut(columns));
    for (shares, d_shares) in rows {
        let pairs = shares[at.clone()].iter().zip(&mut d_shares[at.clone()]);
        for ((share, d_share), delta) in pairs.zip(&delta[at.clone()]) {
            *d_share = share * (*d_share - delta);
        }
    }
}
