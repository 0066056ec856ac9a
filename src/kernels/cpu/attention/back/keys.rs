//! The gradients with respect to keys and values: a task has some keys of one head and walks the
//! rows that see them.
//!
//! Scores have a row for each stacked row and a column for each key. Their transposes are
//! multiplied where they lie.

use std::ops::Range;

use super::BackKv;
use crate::engine::cpu::Team;
use crate::engine::view::{MatMut, Parts};
use crate::kernels::cpu::Simd;
use crate::kernels::cpu::attention::Stage;
use crate::kernels::cpu::exp::exp;
use crate::kernels::cpu::product::{COLS, Order, Product};
use crate::kernels::cpu::rows::for_each_level;
use crate::kernels::cpu::scratch::{take, with_scratch};

/// Stacked rows taken at a time.
const STACK: usize = 96;
/// Keys of a task.
const KEYS: usize = 128;
/// Floats from one row of scores to the next: an odd number of cache lines, so that rows fall into
/// different sets.
const PITCH: usize = KEYS + 16;

pub fn run(back: &BackKv<'_>, team: &Team, simd: Simd, dk: &mut MatMut<'_>, dv: &mut MatMut<'_>) {
    let job = &back.forward;
    let share = (dk.rows * job.kv_heads).div_ceil(2 * team.threads());
    let each = share.next_multiple_of(COLS).min(KEYS);
    let rows = dk.rows;
    let (dk, dv) = (dk.parts(), dv.parts());
    // The first keys are seen by the most rows: they go first.
    team.run(rows.div_ceil(each) * job.kv_heads, |task| {
        let (head, part) = (task % job.kv_heads, task / job.kv_heads);
        let block = Block {
            back,
            simd,
            head,
            keys: part * each..rows.min((part + 1) * each),
        };
        // SAFETY: each task has its own head of its own keys.
        unsafe { block.run(dk, dv) };
    });
}

/// One task: one head of some keys.
struct Block<'a> {
    back: &'a BackKv<'a>,
    simd: Simd,
    head: usize,
    keys: Range<usize>,
}

/// Keys and values of a task by dimension, and their gradients.
struct State<'a> {
    keys: &'a mut [f32],
    values: &'a mut [f32],
    dk: &'a mut [f32],
    dv: &'a mut [f32],
}

/// Queries and output gradients of some rows, and what comes of them.
struct Tile<'a> {
    queries: &'a mut [f32],
    slopes: &'a mut [f32],
    /// Then shares.
    scores: &'a mut [f32],
    /// Then gradients of scores.
    d_shares: &'a mut [f32],
}

impl Block<'_> {
    /// # Safety
    /// This task's head and keys of `dk` and `dv` are its own.
    unsafe fn run(&self, dk: Parts<'_>, dv: Parts<'_>) {
        let job = &self.back.forward;
        let (dim, group) = (job.head_dim, job.group());
        let width = dim.next_multiple_of(COLS);
        let each = (STACK / group).max(1);
        let stack = each * group;
        let (by_dim, by_key) = (dim * PITCH, self.keys.len() * width);
        let lens = 2 * (by_dim + by_key + stack * width + stack * PITCH);
        with_scratch(lens, |mut scratch| {
            let mut piece = |len| take(&mut scratch, len);
            let mut state = State {
                keys: piece(by_dim),
                values: piece(by_dim),
                dk: piece(by_key),
                dv: piece(by_key),
            };
            let mut tile = Tile {
                queries: piece(stack * width),
                slopes: piece(stack * width),
                scores: piece(stack * PITCH),
                d_shares: piece(stack * PITCH),
            };
            state.dk.fill(0.0);
            state.dv.fill(0.0);
            let seen_by = self.back.seen_by(&self.keys);
            if !seen_by.is_empty() {
                let columns = self.head * dim..(self.head + 1) * dim;
                for (from, to) in [(&job.keys, &mut *state.keys), (&job.values, state.values)] {
                    let columns = columns.clone();
                    let stage = Stage {
                        from,
                        columns,
                        factor: 1.0,
                    };
                    stage.transposed(self.keys.clone(), to, PITCH);
                }
            }
            for from in seen_by.clone().step_by(each) {
                self.add(
                    from..seen_by.end.min(from + each),
                    width,
                    &mut tile,
                    &mut state,
                );
            }
            for (i, key) in self.keys.clone().enumerate() {
                for (to, from) in [(dk, &state.dk), (dv, &state.dv)] {
                    // SAFETY: the caller's.
                    let to = unsafe { to.cols_mut(key, self.head * dim..(self.head + 1) * dim) };
                    to.copy_from_slice(&from[i * width..][..dim]);
                }
            }
        });
    }

    /// Adds what some rows contribute.
    fn add(&self, rows: Range<usize>, width: usize, tile: &mut Tile<'_>, state: &mut State<'_>) {
        let job = &self.back.forward;
        let (dim, group) = (job.head_dim, job.group());
        // Positions rise: the last row sees furthest, the first starts first.
        let first = job.visible(rows.start).start.max(self.keys.start);
        let last = job.visible(rows.end - 1).end.min(self.keys.end);
        if first >= last {
            return;
        }
        let keys = first - self.keys.start..last - self.keys.start;
        let (at, end) = (keys.start / COLS * COLS, keys.end.next_multiple_of(COLS));
        self.stage(rows.clone(), width, tile);
        let stack = rows.len() * group;
        let product = |a: &[f32], b: &[f32], c: &mut [f32]| {
            Product {
                rows: stack,
                depth: dim,
                cols: end - at,
                a,
                order: Order::ByRow(width),
                b: &b[at..],
                b_stride: PITCH,
                c: &mut c[at..],
                c_stride: PITCH,
                keep: false,
            }
            .run(self.simd);
        };
        product(tile.queries, state.keys, tile.scores);
        product(tile.slopes, state.values, tile.d_shares);
        for (i, row) in (0..stack).map(|i| (i, rows.start + i / group)) {
            let head = self.head * group + i % group;
            let visible = job.visible(row);
            let clip = |key: usize| key.clamp(first, last) - self.keys.start;
            let columns = i * PITCH + at..i * PITCH + end;
            let seen = clip(visible.start).max(at) - at..clip(visible.end).max(at) - at;
            let stats = &self.back.stats.row(row)[2 * head..][..2];
            slopes_of_scores(
                self.simd,
                &mut tile.scores[columns.clone()],
                &mut tile.d_shares[columns],
                seen,
                stats,
            );
        }
        let product = |a: &[f32], b: &[f32], c: &mut [f32]| {
            Product {
                rows: keys.len(),
                depth: stack,
                cols: width,
                a: &a[keys.start..],
                order: Order::ByDepth(PITCH),
                b,
                b_stride: width,
                c: &mut c[keys.start * width..],
                c_stride: width,
                keep: true,
            }
            .run(self.simd);
        };
        product(tile.scores, tile.slopes, state.dv);
        product(tile.d_shares, tile.queries, state.dk);
    }

    /// Stacks scaled queries and output gradients: head `g` of row `r` is row `r * group + g`.
    fn stage(&self, rows: Range<usize>, width: usize, tile: &mut Tile<'_>) {
        let job = &self.back.forward;
        let (dim, group) = (job.head_dim, job.group());
        for (i, row) in rows.enumerate() {
            for g in 0..group {
                let head = self.head * group + g;
                let columns = head * dim..(head + 1) * dim;
                let to = (i * group + g) * width;
                // Scaled queries serve the scores, and `dk` has the same factor.
                for (from, factor, to) in [
                    (&job.q, job.scale, &mut tile.queries[to..to + width]),
                    (&self.back.d_out, 1.0, &mut tile.slopes[to..to + width]),
                ] {
                    let columns = columns.clone();
                    Stage {
                        from,
                        columns,
                        factor,
                    }
                    .rows(row..row + 1, to);
                }
            }
        }
    }
}

for_each_level! {
    /// Turns the scores of one row into shares, and what is beside them into gradients of scores,
    /// both 0 where the row does not see.
    slopes_of_scores = slopes_of_scores_body(
        scores: &mut [f32], d_shares: &mut [f32], seen: Range<usize>, stats: &[f32]
    )
}

#[inline(always)]
fn slopes_of_scores_body(
    scores: &mut [f32],
    d_shares: &mut [f32],
    seen: Range<usize>,
    stats: &[f32],
) {
    let (lse, delta) = (stats[0], stats[1]);
    for (score, d_share) in scores.iter_mut().zip(&mut *d_shares) {
        *score = exp(*score - lse);
        *d_share = *score * (*d_share - delta);
    }
    for values in [scores, d_shares] {
        values[..seen.start].fill(0.0);
        values[seen.end..].fill(0.0);
    }
}
