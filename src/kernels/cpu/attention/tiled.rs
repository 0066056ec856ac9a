//! Attention by tiles of keys with AVX-512.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{Attention, by_position, direct};
use crate::engine::cpu::Team;
use crate::engine::view::{Mat, MatMut, Parts};
use crate::kernels::cpu::exp::exp_512;
use crate::kernels::cpu::scratch::{take, with_scratch};
use crate::kernels::cpu::tile::{Avx512, Level, Operands, TILE_COLS, TILE_ROWS, Target};
use crate::kernels::cpu::unpack::first;

/// Stacked query rows of a task.
const STACK: usize = 96;
/// Up to this many stacked rows read the cache where it lies.
const DIRECT: usize = 8;
/// Keys of a tile.
const KEYS: usize = 128;
/// Keys that are worth a task of their own.
const SPLIT_KEYS: usize = 128;

pub fn run(job: &Attention<'_>, team: &Team, out: &mut MatMut<'_>) {
    // Rows near each other in the document see much the same keys.
    let order = by_position(job.positions);
    let positions = (STACK / job.group()).clamp(1, job.q.rows);
    let blocks = job.q.rows.div_ceil(positions) * job.kv_heads;
    let longest = (0..job.q.rows)
        .map(|r| job.visible(r).len())
        .max()
        .unwrap_or(1);
    let splits = if blocks >= 2 * team.threads() {
        1
    } else {
        (2 * team.threads())
            .div_ceil(blocks)
            .min(longest.div_ceil(SPLIT_KEYS))
    };
    let block = |index: usize| {
        // The last blocks see the most keys: they go first.
        let (head, part) = (index % job.kv_heads, index / job.kv_heads);
        let end = job.q.rows - part * positions;
        Block {
            job,
            head,
            rows: &order[end.saturating_sub(positions)..end],
        }
    };
    let parts = out.parts();
    if splits == 1 {
        team.run(blocks, |index| {
            let block = block(index);
            with_scratch(block.state_len(), |state| {
                // SAFETY: `Attention::run` checked every extent and chose this path on AVX-512;
                // each task has its own heads of its own rows.
                unsafe {
                    block.attend(block.keys(), state);
                    block.finish(state, parts);
                }
            });
        });
        return;
    }
    let state_len = block(0).state_len();
    with_scratch(blocks * splits * state_len, |states| {
        let mut states_mat = MatMut::new(states, blocks * splits, state_len, state_len);
        let states = states_mat.parts();
        team.run(blocks * splits, |task| {
            let block = block(task / splits);
            let all = block.keys();
            let each = all.len().div_ceil(splits);
            let start = (all.start + task % splits * each).min(all.end);
            // SAFETY: as above; each task has its own state.
            unsafe {
                let state = &mut states.row_mut(task)[..block.state_len()];
                block.attend(start..all.end.min(start + each), state);
            }
        });
        team.run(blocks, |index| {
            let block = block(index);
            // SAFETY: as above.
            unsafe {
                let state = &mut states.row_mut(index * splits)[..block.state_len()];
                for other in 1..splits {
                    let other = states.row_mut(index * splits + other);
                    block.join(state, &other[..block.state_len()]);
                }
                block.finish(state, parts);
            }
        });
    });
}

/// One task: the query heads of one key head, for some rows in the order of their positions.
struct Block<'a> {
    job: &'a Attention<'a>,
    head: usize,
    rows: &'a [u32],
}

impl Block<'_> {
    /// Stacked rows: head `g` of the `i`-th row is row `i * group + g`.
    fn stack(&self) -> usize {
        self.rows.len() * self.job.group()
    }

    /// The row and the head of a stacked row.
    fn place(&self, s: usize) -> (usize, usize) {
        let group = self.job.group();
        (self.rows[s / group] as usize, self.head * group + s % group)
    }

    /// Width of a head, in whole tiles.
    fn width(&self) -> usize {
        self.job.head_dim.next_multiple_of(TILE_COLS)
    }

    /// The state holds, for each stacked row, its largest score, the sum of its shares, and then
    /// for each the shares times the values.
    fn state_len(&self) -> usize {
        self.stack() * (2 + self.width())
    }

    /// Keys that any of the rows sees.
    fn keys(&self) -> Range<usize> {
        let visible = || self.rows.iter().map(|&r| self.job.visible(r as usize));
        let start = visible().map(|v| v.start).min().unwrap_or(0);
        start..visible().map(|v| v.end).max().unwrap_or(0)
    }

    /// Attends to `keys` and fills the state.
    ///
    /// # Safety
    /// As `run` says.
    unsafe fn attend(&self, keys: Range<usize>, state: &mut [f32]) {
        let (job, stack, width) = (self.job, self.stack(), self.width());
        let dim = job.head_dim;
        let (largest, state) = state.split_at_mut(stack);
        let (total, sums) = state.split_at_mut(stack);
        largest.fill(f32::NEG_INFINITY);
        total.fill(0.0);
        sums.fill(0.0);
        let direct = stack <= DIRECT;
        let packed_len = if direct { 0 } else { KEYS * width };
        let lens = stack * width + 2 * packed_len + stack * KEYS;
        with_scratch(lens, |mut scratch| {
            let queries = take(&mut scratch, stack * width);
            let (k, v) = (
                take(&mut scratch, packed_len),
                take(&mut scratch, packed_len),
            );
            let scores = take(&mut scratch, stack * KEYS);
            self.stack_queries(queries);
            for from in keys.clone().step_by(KEYS) {
                let tile = from..keys.end.min(from + KEYS);
                let count = tile.len();
                // SAFETY: the caller's; the buffers hold a tile each.
                unsafe {
                    if direct {
                        let keys = self.rows_of(&job.keys, &tile);
                        let values = self.rows_of(&job.values, &tile);
                        let mut fetched = Some(values);
                        for (query, scores) in queries.chunks(width).zip(scores.chunks_mut(KEYS)) {
                            direct::scores(query, keys, fetched.take(), scores);
                        }
                        self.shares(tile, scores, largest, total, sums);
                        for (shares, sums) in scores.chunks(KEYS).zip(sums.chunks_mut(width)) {
                            direct::add_shares(shares, values, sums);
                        }
                    } else {
                        self.pack_keys(tile.clone(), k);
                        self.pack_values(tile.clone(), v);
                        multiply(
                            stack, dim, queries, width, k, dim, scores, KEYS, count, false,
                        );
                        self.shares(tile, scores, largest, total, sums);
                        multiply(
                            stack, count, scores, KEYS, v, KEYS, sums, width, width, true,
                        );
                    }
                }
            }
        });
    }

    /// This head's columns of the rows `tile` of the cache.
    fn rows_of(&self, cache: &Mat<'_, f32>, tile: &Range<usize>) -> direct::Rows {
        let dim = self.job.head_dim;
        direct::Rows {
            data: cache.data[tile.start * cache.stride + self.head * dim..].as_ptr(),
            stride: cache.stride,
            count: tile.len(),
            dim,
        }
    }

    fn stack_queries(&self, queries: &mut [f32]) {
        let (job, width) = (self.job, self.width());
        for (s, query) in queries.chunks_exact_mut(width).enumerate() {
            let (r, head) = self.place(s);
            let from = &job.q.row(r)[head * job.head_dim..][..job.head_dim];
            query
                .iter_mut()
                .zip(from)
                .for_each(|(to, v)| *to = v * job.scale);
        }
    }

    /// Lays keys out by dimension, in panels of `TILE_COLS` keys: `panel[d * TILE_COLS + key]`.
    ///
    /// # Safety
    /// As `run` says.
    #[target_feature(enable = "avx512f")]
    unsafe fn pack_keys(&self, keys: Range<usize>, packed: &mut [f32]) {
        let (dim, cache) = (self.job.head_dim, &self.job.keys);
        let mut staged = [0f32; 256];
        for (panel, from) in keys.clone().step_by(TILE_COLS).enumerate() {
            let packed = &mut packed[panel * TILE_COLS * dim..];
            for half in 0..2 {
                let from = from + 16 * half;
                let count = keys.end.saturating_sub(from).min(16);
                for d in (0..dim).step_by(16) {
                    let wide = (dim - d).min(16);
                    let column = self.head * dim + d;
                    if count == 16 && wide == 16 {
                        let to = &mut packed[d * TILE_COLS + 16 * half..][..15 * TILE_COLS + 16];
                        // SAFETY: 16 whole rows of 16 in the cache, and room by the slice.
                        unsafe {
                            let src = cache.data.as_ptr().add(from * cache.stride + column);
                            Avx512::transpose(src, cache.stride, to.as_mut_ptr(), TILE_COLS);
                        }
                        continue;
                    }
                    staged.fill(0.0);
                    for i in 0..count {
                        let row = &cache.row(from + i)[column..][..wide];
                        (0..wide).for_each(|j| staged[16 * j + i] = row[j]);
                    }
                    for j in 0..wide {
                        packed[(d + j) * TILE_COLS + 16 * half..][..16]
                            .copy_from_slice(&staged[16 * j..][..16]);
                    }
                }
            }
        }
    }

    /// Lays values out in panels of `TILE_COLS` dimensions, `KEYS` rows each.
    ///
    /// # Safety
    /// As `run` says.
    #[target_feature(enable = "avx512f")]
    unsafe fn pack_values(&self, keys: Range<usize>, packed: &mut [f32]) {
        let (dim, cache) = (self.job.head_dim, &self.job.values);
        for (i, key) in keys.enumerate() {
            let row = &cache.row(key)[self.head * dim..][..dim];
            for (panel, row) in row.chunks(TILE_COLS).enumerate() {
                let to = &mut packed[(panel * KEYS + i) * TILE_COLS..][..TILE_COLS];
                to[..row.len()].copy_from_slice(row);
                to[row.len()..].fill(0.0);
            }
        }
    }

    /// Turns the scores of one tile into shares and brings the state up to date.
    ///
    /// # Safety
    /// The processor must have AVX-512 F.
    #[target_feature(enable = "avx512f,fma")]
    unsafe fn shares(
        &self,
        keys: Range<usize>,
        scores: &mut [f32],
        largest: &mut [f32],
        total: &mut [f32],
        sums: &mut [f32],
    ) {
        let width = self.width();
        let vectors = keys.len().div_ceil(16);
        let lowest = _mm512_set1_ps(f32::NEG_INFINITY);
        for (s, scores) in scores.chunks_exact_mut(KEYS).enumerate() {
            let visible = self.job.visible(self.place(s).0);
            let start = visible.start.max(keys.start) - keys.start;
            let end = visible.end.clamp(keys.start, keys.end) - keys.start;
            if start >= end {
                scores.fill(0.0);
                continue;
            }
            let mut row = [lowest; KEYS / 16];
            let mut most = lowest;
            for (v, row) in row.iter_mut().enumerate().take(vectors) {
                let mask = first(end.saturating_sub(16 * v).min(16))
                    & !first(start.saturating_sub(16 * v).min(16));
                // SAFETY: a tile's row holds `KEYS` scores.
                *row = unsafe { _mm512_mask_loadu_ps(lowest, mask, scores.as_ptr().add(16 * v)) };
                most = _mm512_max_ps(most, *row);
            }
            let most = _mm512_reduce_max_ps(most).max(largest[s]);
            let mut sum = _mm512_setzero_ps();
            for (v, row) in row.iter().enumerate().take(vectors) {
                let share = exp_512(_mm512_sub_ps(*row, _mm512_set1_ps(most)));
                sum = _mm512_add_ps(sum, share);
                // SAFETY: as above.
                unsafe { _mm512_storeu_ps(scores.as_mut_ptr().add(16 * v), share) };
            }
            let shrink = (largest[s] - most).exp();
            if shrink != 1.0 {
                let sums = &mut sums[s * width..][..width];
                sums.iter_mut().for_each(|v| *v *= shrink);
            }
            total[s] = total[s] * shrink + _mm512_reduce_add_ps(sum);
            largest[s] = most;
        }
    }

    /// Adds what another task found over other keys.
    fn join(&self, state: &mut [f32], other: &[f32]) {
        let (stack, width) = (self.stack(), self.width());
        for s in 0..stack {
            let most = state[s].max(other[s]);
            if most == f32::NEG_INFINITY {
                continue;
            }
            let (a, b) = ((state[s] - most).exp(), (other[s] - most).exp());
            state[s] = most;
            state[stack + s] = a * state[stack + s] + b * other[stack + s];
            let at = 2 * stack + s * width;
            for (to, v) in state[at..at + width].iter_mut().zip(&other[at..at + width]) {
                *to = a * *to + b * v;
            }
        }
    }

    /// Writes the output.
    ///
    /// # Safety
    /// This task's heads and rows of the output are its own.
    unsafe fn finish(&self, state: &[f32], out: Parts<'_>) {
        let (job, width, dim) = (self.job, self.width(), self.job.head_dim);
        let (totals, sums) = state[self.stack()..].split_at(self.stack());
        for (s, (total, sums)) in totals.iter().zip(sums.chunks_exact(width)).enumerate() {
            let (r, head) = self.place(s);
            // SAFETY: the caller's.
            let out = unsafe { out.cols_mut(r, head * dim..(head + 1) * dim) };
            debug_assert_eq!(job.head_dim, out.len());
            let share = 1.0 / total;
            out.iter_mut().zip(sums).for_each(|(to, v)| *to = v * share);
        }
    }
}

/// `c = a * b` (or `c += …`) by tiles: `b` lies in panels of `panel_depth` rows of `TILE_COLS`.
///
/// # Safety
/// The slices must hold the matrices, and the processor must have AVX-512 F.
#[inline]
unsafe fn multiply(
    rows: usize,
    depth: usize,
    a: &[f32],
    a_stride: usize,
    b: &[f32],
    panel_depth: usize,
    c: &mut [f32],
    c_stride: usize,
    cols: usize,
    keep: bool,
) {
    debug_assert!(rows * a_stride <= a.len() && rows * c_stride <= c.len());
    for col in (0..cols).step_by(TILE_COLS) {
        let b = &b[col * panel_depth..];
        for row in (0..rows).step_by(TILE_ROWS) {
            // SAFETY: the caller's.
            unsafe {
                let target = Target {
                    c: c.as_mut_ptr().add(row * c_stride + col),
                    stride: c_stride,
                    cols: TILE_COLS.min(c_stride - col),
                    keep,
                    bias: std::ptr::null(),
                };
                let operands = Operands {
                    k: depth,
                    a: a.as_ptr().add(row * a_stride),
                    a_stride,
                    b: b.as_ptr(),
                    b_stride: TILE_COLS,
                };
                Avx512::tile(TILE_ROWS.min(rows - row), operands, target);
            }
        }
    }
}
