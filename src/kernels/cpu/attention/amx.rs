//! Rough attention with the tile unit of newer Xeons.
//!
//! The keys and values that any row sees are laid out once, 32 keys a panel. A task then takes 32
//! stacked rows through all of them. Queries and keys are split into two parts each, since they may be
//! large and nearly cancel; shares and values are rounded.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{Attention, by_position};
use crate::engine::cpu::Team;
use crate::engine::view::{Mat, MatMut, Parts};
use crate::kernels::cpu::amx::{
    SIDE, TILE, TILE_DEPTH, configure, multiply_high_tiles, multiply_tiles, release, round,
    split_columns, split_pairs, split_rows,
};
use crate::kernels::cpu::exp::rough_exp2_512;
use crate::kernels::cpu::scratch::{take, with_scratch};
use crate::kernels::cpu::unpack::first;

/// Fewer stacked rows than this leave the tiles empty.
pub const LEAST_ROWS: usize = SIDE;
/// Panels that are scored before their values are added up: their scores fill two thirds of a 48 KiB
/// first-level cache.
const PANELS: usize = 8;
/// Sums of 32 rows by 32 columns.
const BLOCK: usize = SIDE * SIDE;

pub fn run(job: &Attention<'_>, team: &Team, out: &mut MatMut<'_>) {
    let visible = || (0..job.q.rows).map(|r| job.visible(r));
    let near = Near {
        job,
        keys: visible().map(|v| v.start).min().unwrap_or(0)
            ..visible().map(|v| v.end).max().unwrap_or(0),
    };
    let order = by_position(job.positions);
    let strips = (job.q.rows * job.group()).div_ceil(SIDE);
    let (panels, len) = (near.panels(), near.panel_len());
    let out = out.parts();
    with_scratch(job.kv_heads * panels * len, |laid_out| {
        let mut rows = MatMut::new(laid_out, job.kv_heads * panels, len, len);
        team.rows(&mut rows, 1, |i, panel| {
            // SAFETY: `Attention::run` checked every extent and chose this path on AMX.
            unsafe { near.lay_out(i / panels, i % panels, panel) }
        });
        let laid_out = &*laid_out;
        team.run(job.kv_heads * strips, |task| {
            // The last strips see the most keys: they go first.
            let (head, strip) = (task % job.kv_heads, strips - 1 - task / job.kv_heads);
            let strip = Strip {
                near: &near,
                panels: &laid_out[head * panels * len..][..panels * len],
                head,
                order: &order,
                first: strip * SIDE,
            };
            // SAFETY: as above; each task has its own heads of its own rows.
            unsafe { strip.attend(out) }
        });
    });
}

/// Keys and values that any row sees.
struct Near<'a> {
    job: &'a Attention<'a>,
    keys: Range<usize>,
}

impl Near<'_> {
    /// Panels of 32 keys.
    fn panels(&self) -> usize {
        self.keys.len().div_ceil(SIDE)
    }

    /// Pieces of depth that a head has.
    fn pieces(&self) -> usize {
        self.job.head_dim.div_ceil(TILE_DEPTH)
    }

    /// Width of a head in whole pieces.
    fn width(&self) -> usize {
        self.pieces() * TILE_DEPTH
    }

    /// Floats' worth of a panel's keys: for each piece of depth the high and low tiles of the first 16
    /// keys, then of the second.
    fn keys_len(&self) -> usize {
        self.pieces() * 4 * TILE
    }

    /// Floats' worth of a panel: its keys, then its values, for each 32 dimensions two tiles.
    fn panel_len(&self) -> usize {
        self.keys_len() + self.pieces() * 2 * TILE
    }

    /// Lays out one panel of one head.
    ///
    /// # Safety
    /// Every visible key and value must be there, and the processor must have AVX-512 F, BW and BF16.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn lay_out(&self, head: usize, panel: usize, to: &mut [f32]) {
        let from = self.keys.start + panel * SIDE;
        let count = SIDE.min(self.keys.end - from);
        let (keys, values) = to.split_at_mut(self.keys_len());
        let dim = self.job.head_dim;
        let at = |cache: &Mat<'_>, row: usize, depth: usize| {
            let column = head * dim + depth;
            cache
                .data
                .as_ptr()
                .wrapping_add(row * cache.stride + column)
        };
        for piece in 0..self.pieces() {
            let depth = piece * TILE_DEPTH;
            let left = dim - depth;
            let masks = (first(left.min(16)), first(left.saturating_sub(16).min(16)));
            for half in 0..2 {
                let column = |i: usize| {
                    if 16 * half + i >= count {
                        return (_mm512_setzero_ps(), _mm512_setzero_ps());
                    }
                    let from = at(&self.job.keys, from + 16 * half + i, depth);
                    // SAFETY: a row that is there; the masks keep to this head.
                    unsafe {
                        (
                            _mm512_maskz_loadu_ps(masks.0, from),
                            _mm512_maskz_loadu_ps(masks.1, from.wrapping_add(16)),
                        )
                    }
                };
                let tiles = &mut keys[(2 * piece + half) * 2 * TILE..][..2 * TILE];
                split_columns::<2>(column, tiles);
                let mask = if half == 0 { masks.0 } else { masks.1 };
                let tile = &mut values[(2 * piece + half) * TILE..][..TILE];
                let from = at(&self.job.values, from, depth + 16 * half);
                let stride = self.job.values.stride;
                // SAFETY: `count` rows are there; the mask keeps to this head.
                unsafe { split_pairs::<1>(from, stride, count, mask, tile.as_mut_ptr()) };
            }
        }
    }
}

/// One task: 32 stacked rows of one key head. Head `g` of the `i`-th row in the order of positions is row
/// `i * group + g`.
struct Strip<'a> {
    near: &'a Near<'a>,
    panels: &'a [f32],
    head: usize,
    order: &'a [u32],
    first: usize,
}

/// What a strip knows of its rows.
struct State<'a> {
    largest: [f32; SIDE],
    total: [f32; SIDE],
    /// Shares times values, `SIDE x width`.
    sums: &'a mut [f32],
}

impl Strip<'_> {
    /// Rows that are there.
    fn rows(&self) -> usize {
        let job = self.near.job;
        SIDE.min(job.q.rows * job.group() - self.first)
    }

    /// The row and the head of a stacked row.
    fn place(&self, s: usize) -> (usize, usize) {
        let group = self.near.job.group();
        let s = self.first + s;
        let row = self.order[s / group] as usize;
        (row, self.head * group + s % group)
    }

    /// The keys that each row sees, counted from the first that is laid out; none beyond the last row.
    fn visible(&self) -> [Range<usize>; SIDE] {
        let start = self.near.keys.start;
        std::array::from_fn(|s| match s < self.rows() {
            true => {
                let seen = self.near.job.visible(self.place(s).0);
                seen.start - start..seen.end - start
            }
            false => 0..0,
        })
    }

    /// # Safety
    /// Every visible key must be laid out, this strip's heads of its rows of `out` must be its own, and
    /// the processor must let this process use the tile unit.
    unsafe fn attend(&self, out: Parts<'_>) {
        let (pieces, width) = (self.near.pieces(), self.near.width());
        let half = pieces * 2 * TILE;
        let lens = SIDE * width * 2 + 2 * half + PANELS * BLOCK + 2 * PANELS * TILE + BLOCK;
        with_scratch(lens, |mut scratch| {
            let mut state = State {
                largest: [f32::NEG_INFINITY; SIDE],
                total: [0.0; SIDE],
                sums: take(&mut scratch, SIDE * width),
            };
            state.sums.fill(0.0);
            let dense = take(&mut scratch, SIDE * width);
            let queries = take(&mut scratch, 2 * half);
            let scores = take(&mut scratch, PANELS * BLOCK);
            let shares = take(&mut scratch, 2 * PANELS * TILE);
            let product = take(&mut scratch, BLOCK);
            let visible = self.visible();
            let seen = &visible[..self.rows()];
            let panels = seen.iter().map(|v| v.start / SIDE).min().unwrap_or(0)
                ..seen.iter().map(|v| v.end.div_ceil(SIDE)).max().unwrap_or(0);
            // SAFETY: the caller's; the buffers hold what each call says.
            unsafe {
                self.stack_queries(dense);
                let rows = Mat {
                    data: dense,
                    rows: SIDE,
                    cols: width,
                    stride: width,
                };
                for (i, queries) in queries.chunks_exact_mut(half).enumerate() {
                    split_rows::<2>(&rows, 16 * i, queries);
                }
                configure();
                for first in panels.clone().step_by(PANELS) {
                    let panels = first..panels.end.min(first + PANELS);
                    self.score(panels.clone(), queries, scores);
                    self.share((panels.clone(), &visible), scores, shares, &mut state);
                    self.add_values(panels, shares, product, state.sums);
                }
                release();
                self.finish(&state, out);
            }
        });
    }

    /// The queries, a row each; zeros beyond. Scaled so that shares are powers of two.
    ///
    /// # Safety
    /// The processor must have AVX-512 F.
    #[target_feature(enable = "avx512f")]
    unsafe fn stack_queries(&self, dense: &mut [f32]) {
        let (job, dim) = (self.near.job, self.near.job.head_dim);
        let scale = job.scale * std::f32::consts::LOG2_E;
        dense.fill(0.0);
        let rows = dense.chunks_exact_mut(self.near.width());
        for (s, to) in rows.enumerate().take(self.rows()) {
            let (row, head) = self.place(s);
            let from = &job.q.row(row)[head * dim..][..dim];
            to.iter_mut().zip(from).for_each(|(to, v)| *to = v * scale);
        }
    }

    /// The scores of some panels, a block each.
    ///
    /// # Safety
    /// The tile unit must be configured.
    unsafe fn score(&self, panels: Range<usize>, queries: &[f32], scores: &mut [f32]) {
        let len = self.near.panel_len();
        let (upper, lower) = queries.split_at(queries.len() / 2);
        for (panel, scores) in panels.zip(scores.chunks_exact_mut(BLOCK)) {
            let keys = &self.panels[panel * len..][..self.near.keys_len()];
            // SAFETY: the caller's; both slices hold every piece of depth.
            unsafe {
                let pieces = self.near.pieces();
                multiply_tiles(
                    pieces,
                    upper.as_ptr(),
                    lower.as_ptr(),
                    keys.as_ptr(),
                    scores,
                );
            }
        }
    }

    /// Turns the scores of some panels into shares, rounded, as tiles of 16 rows, and brings the state up
    /// to date. The share of a key that a row does not see is 2^-125 of the largest, which is nothing beside it
    /// and cheaper than a mask.
    ///
    /// # Safety
    /// The processor must have AVX-512 F and BF16.
    #[target_feature(enable = "avx512f,avx512bf16,fma")]
    unsafe fn share(
        &self,
        (panels, visible): (Range<usize>, &[Range<usize>; SIDE]),
        scores: &[f32],
        shares: &mut [f32],
        state: &mut State<'_>,
    ) {
        let width = self.near.width();
        let from = panels.start * SIDE;
        let vectors = 2 * panels.len();
        let lowest = _mm512_set1_ps(f32::NEG_INFINITY);
        for (s, visible) in visible.iter().enumerate() {
            let to = &mut shares[s / 16 * PANELS * TILE + s % 16 * 16..];
            let start = visible.start.saturating_sub(from).min(SIDE * panels.len());
            let end = visible.end.saturating_sub(from).min(SIDE * panels.len());
            if start >= end {
                for tile in 0..panels.len() {
                    to[tile * TILE..][..16].fill(0.0);
                }
                continue;
            }
            let mut row = [lowest; 2 * PANELS];
            let mut most = lowest;
            for (v, row) in row.iter_mut().enumerate().take(vectors) {
                let mask = first(end.saturating_sub(16 * v).min(16))
                    & !first(start.saturating_sub(16 * v).min(16));
                let from = &scores[v / 2 * BLOCK + s * SIDE + v % 2 * 16..][..16];
                // SAFETY: 16 floats by the slice.
                *row = unsafe { _mm512_mask_loadu_ps(lowest, mask, from.as_ptr()) };
                most = _mm512_max_ps(most, *row);
            }
            let most = _mm512_reduce_max_ps(most).max(state.largest[s]);
            let mut sum = _mm512_setzero_ps();
            for (tile, row) in row[..vectors].chunks_exact(2).enumerate() {
                let a = rough_exp2_512(_mm512_sub_ps(row[0], _mm512_set1_ps(most)));
                let b = rough_exp2_512(_mm512_sub_ps(row[1], _mm512_set1_ps(most)));
                sum = _mm512_add_ps(sum, _mm512_add_ps(a, b));
                let to = &mut to[tile * TILE..][..16];
                // SAFETY: 16 floats by the slice.
                unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), round(a, b)) };
            }
            let shrink = (state.largest[s] - most).exp2();
            if shrink != 1.0 {
                let sums = &mut state.sums[s * width..][..width];
                sums.iter_mut().for_each(|v| *v *= shrink);
            }
            state.total[s] = state.total[s] * shrink + _mm512_reduce_add_ps(sum);
            state.largest[s] = most;
        }
    }

    /// Adds the values of some panels, by their shares.
    ///
    /// # Safety
    /// The tile unit must be configured, and the processor must have AVX-512 F.
    #[target_feature(enable = "avx512f")]
    unsafe fn add_values(
        &self,
        panels: Range<usize>,
        shares: &[f32],
        product: &mut [f32],
        sums: &mut [f32],
    ) {
        let (len, width) = (self.near.panel_len(), self.near.width());
        let (upper, lower) = shares.split_at(PANELS * TILE);
        for piece in 0..self.near.pieces() {
            let at = panels.start * len + self.near.keys_len() + piece * 2 * TILE;
            let values = &self.panels[at..];
            assert!(values.len() >= (panels.len() - 1) * len + 2 * TILE);
            // SAFETY: the caller's; the panels are there by the assertion.
            unsafe {
                let values = (values.as_ptr(), len);
                multiply_high_tiles(
                    panels.len(),
                    upper.as_ptr(),
                    lower.as_ptr(),
                    values,
                    product,
                );
            }
            let rows = sums.chunks_exact_mut(width);
            for (sums, product) in rows.zip(product.chunks_exact(SIDE)) {
                let sums = &mut sums[piece * TILE_DEPTH..][..TILE_DEPTH];
                sums.iter_mut().zip(product).for_each(|(to, v)| *to += v);
            }
        }
    }

    /// Writes the output.
    ///
    /// # Safety
    /// This strip's heads of its rows of the output must be its own, and the processor must have AVX-512 F.
    #[target_feature(enable = "avx512f")]
    unsafe fn finish(&self, state: &State<'_>, out: Parts<'_>) {
        let dim = self.near.job.head_dim;
        let rows = state.sums.chunks_exact(self.near.width());
        for (s, sums) in rows.enumerate().take(self.rows()) {
            let (row, head) = self.place(s);
            // SAFETY: the caller's.
            let out = unsafe { out.cols_mut(row, head * dim..(head + 1) * dim) };
            let share = 1.0 / state.total[s];
            out.iter_mut().zip(sums).for_each(|(to, v)| *to = v * share);
        }
    }
}
