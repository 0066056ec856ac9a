//! Scores that lie transposed: a row for each key, a column for each query.
//!
//! So keys are multiplied where they lie, what a query knows (its largest score, the sum of its
//! shares) is a vector's lane, and no sum crosses lanes. With `shares` what is summed is rescaled
//! when a larger score appears.

use std::ops::Range;

use super::Attention;
use crate::kernels::cpu::exp::exp;
use crate::kernels::cpu::product::COLS;
use crate::kernels::cpu::scratch::take;

/// What stands for a score that is not seen.
pub const LOWEST: f32 = -3.0e38;

/// Shares of less than this to the power of e are zero: products of numbers below the normal ones
/// are slow.
pub const SMALLEST: f32 = -87.0;

/// Stacked queries of a task.
const STACK: usize = 96;

/// Positions of a task, so that a team of `threads` has enough of them.
pub fn positions_each(job: &Attention<'_>, threads: usize) -> usize {
    let share = (job.q.rows * job.kv_heads).div_ceil(2 * threads);
    (STACK / job.group())
        .min(share.max(8))
        .clamp(1, job.q.rows.max(1))
}

/// The queries of one task: those heads that share a key head, for some rows in the order of their
/// positions. Head `g` of the `i`-th row is column `i * group + g`.
pub struct Stack<'a> {
    pub job: &'a Attention<'a>,
    pub head: usize,
    pub rows: &'a [u32],
}

impl<'a> Stack<'a> {
    /// The queries of task `index` of those with `each` of the rows in `order`. The last rows see
    /// the most keys: they go first.
    pub fn of_task(job: &'a Attention<'a>, order: &'a [u32], each: usize, index: usize) -> Self {
        let (head, part) = (index % job.kv_heads, index / job.kv_heads);
        let end = order.len() - part * each;
        let rows = &order[end.saturating_sub(each)..end];
        Stack { job, head, rows }
    }

    pub fn len(&self) -> usize {
        self.rows.len() * self.job.group()
    }

    /// The row and head of a column.
    pub fn place(&self, column: usize) -> (usize, usize) {
        let group = self.job.group();
        (
            self.rows[column / group] as usize,
            self.head * group + column % group,
        )
    }

    /// Keys that any of them sees.
    pub fn keys(&self) -> Range<usize> {
        let visible = || self.rows.iter().map(|&row| self.job.visible(row as usize));
        let start = visible().map(|seen| seen.start).min();
        start.unwrap_or(0)..visible().map(|seen| seen.end).max().unwrap_or(0)
    }

    /// The columns whose rows see any of `tile`: rows lie in the order of their positions.
    pub fn that_see(&self, tile: &Range<usize>) -> Option<Range<usize>> {
        let sees = |&row: &u32| {
            let visible = self.job.visible(row as usize);
            visible.start < tile.end && visible.end > tile.start
        };
        let first = self.rows.iter().position(sees)?;
        let last = self.rows.iter().rposition(sees)?;
        Some(first * self.job.group()..(last + 1) * self.job.group())
    }

    /// Whether every row of some columns sees all of `tile`.
    pub fn all_see(&self, tile: &Range<usize>, columns: &Range<usize>) -> bool {
        let group = self.job.group();
        let end = columns.end.div_ceil(group).min(self.rows.len());
        self.rows[columns.start / group..end].iter().all(|&row| {
            let visible = self.job.visible(row as usize);
            visible.start <= tile.start && visible.end >= tile.end
        })
    }
}

/// What each column knows. All have room for whole vectors.
pub struct Columns<'a> {
    /// Keys seen: from, and up to but without.
    starts: &'a mut [u32],
    ends: &'a mut [u32],
    pub largest: &'a mut [f32],
    pub total: &'a mut [f32],
    /// Factor by which the last tile made earlier sums smaller.
    pub shrink: &'a mut [f32],
}

impl<'a> Columns<'a> {
    /// Floats of scratch memory that `columns` take.
    pub fn len(columns: usize) -> usize {
        5 * columns
    }

    /// The state before the first key of `columns` columns, those of `stack` and some that pad
    /// them.
    pub fn new(stack: &Stack<'_>, columns: usize, mut scratch: &'a mut [f32]) -> Self {
        let mut piece = || take(&mut scratch, columns);
        let state = Columns {
            starts: bytemuck::cast_slice_mut(piece()),
            ends: bytemuck::cast_slice_mut(piece()),
            largest: piece(),
            total: piece(),
            shrink: piece(),
        };
        // Columns beyond the last see everything, of no consequence.
        state.starts.fill(0);
        state.ends.fill(u32::MAX);
        state.largest.fill(LOWEST);
        state.total.fill(0.0);
        let seen = state.starts.iter_mut().zip(&mut *state.ends);
        for (column, (start, end)) in seen.enumerate().take(stack.len()) {
            let visible = stack.job.visible(stack.place(column).0);
            (*start, *end) = (visible.start as u32, visible.end as u32);
        }
        state
    }
}

/// `COLS` columns of a tile's scores.
pub struct Part {
    pub column: usize,
    /// Columns of the scores, in all.
    pub columns: usize,
    pub tile: Range<usize>,
    /// Every one sees all of the tile.
    pub whole: bool,
}

/// Makes scores of keys that a column does not see the lowest.
#[inline(always)]
pub fn hide_unseen(part: &Part, scores: &mut [f32], state: &Columns<'_>) {
    if part.whole {
        return;
    }
    let at = part.column..part.column + COLS;
    let (starts, ends) = (&state.starts[at.clone()], &state.ends[at.clone()]);
    let rows = scores.chunks_exact_mut(part.columns);
    for (key, row) in part.tile.clone().zip(rows) {
        let key = key as u32;
        for ((score, start), end) in row[at.clone()].iter_mut().zip(starts).zip(ends) {
            let seen = (*start <= key) & (key < *end);
            *score = if seen { *score } else { LOWEST };
        }
    }
}

/// Turns scores into shares of what is summed so far and brings the state up to date. `then` may
/// change the shares of each key, which begin at an index of the scores, once they are counted.
#[inline(always)]
pub fn shares(
    part: &Part,
    scores: &mut [f32],
    state: &mut Columns<'_>,
    then: impl Fn(usize, &mut [f32; COLS]),
) {
    hide_unseen(part, scores, state);
    let at = part.column..part.column + COLS;
    let rows = || (0..part.tile.len()).map(|i| i * part.columns + part.column);
    let before: [f32; COLS] = std::array::from_fn(|i| state.largest[at.start + i]);
    let mut most = before;
    for row in rows() {
        for (most, &score) in most.iter_mut().zip(&scores[row..row + COLS]) {
            *most = if score > *most { score } else { *most };
        }
    }
    let mut sums = [0f32; COLS];
    for row in rows() {
        let Ok(scores) = <&mut [f32; COLS]>::try_from(&mut scores[row..row + COLS]) else {
            unreachable!("as many as the slice has");
        };
        for i in 0..COLS {
            let below = scores[i] - most[i];
            let unseen = (scores[i] <= LOWEST) | (below < SMALLEST);
            let share = if unseen { 0.0 } else { exp(below) };
            sums[i] += share;
            scores[i] = share;
        }
        then(row, scores);
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
pub fn shrink_sums(shrink: &[f32], sums: &mut [f32], width: usize) {
    for (&shrink, sums) in shrink.iter().zip(sums.chunks_exact_mut(width)) {
        if shrink != 1.0 {
            sums.iter_mut().for_each(|v| *v *= shrink);
        }
    }
}
