//! Many short sequences: a task has whole sequences of a key head, and keeps all scores of a query
//! head.
//!
//! Scores lie a row for each key and a column for each query, as in `columns`. A row is made from
//! the block of columns that has the key's own query on; what is left of that query in the block is
//! hidden. Products are cut where queries stop seeing keys.

use std::ops::Range;

use super::Attention;
use super::back::{BackQ, Targets};
use super::columns::{LOWEST, SMALLEST};
use crate::engine::cpu::Team;
use crate::engine::view::{Mat, MatMut, Parts};
use crate::kernels::cpu::exp::exp;
use crate::kernels::cpu::product::{COLS, Order, Product};
use crate::kernels::cpu::rows::for_each_level;
use crate::kernels::cpu::scratch::{take, with_scratch};
use crate::kernels::cpu::simd::{Floats, Simd};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::kernels::cpu::tile::Level;
#[cfg(target_arch = "aarch64")]
use crate::kernels::cpu::tile::Neon;
#[cfg(target_arch = "x86_64")]
use crate::kernels::cpu::tile::{Avx2, Avx512};

/// Rows up to which a sequence is short: all scores of more are slower than tiles of them.
const MOST_ROWS: usize = 256;
/// Rows of a product that are cut alike: tiles of every level have a divisor of these.
const STRIP: usize = 12;
/// Tasks for each thread, so that all end together.
const TASKS_EACH: usize = 8;

/// What scores may be at most: from here on the lowest where a key is not seen, anything behind.
const MOST_SEEN: [f32; 2 * COLS] = {
    let mut most = [f32::INFINITY; 2 * COLS];
    let mut i = 0;
    while i < COLS {
        most[i] = LOWEST;
        i += 1;
    }
    most
};

/// Whether a job is of short sequences that begin at their beginning and see all before them.
pub fn suits(job: &Attention<'_>, team: &Team) -> bool {
    let rows = job.sequence;
    let whole = |own: &[u32]| own.iter().enumerate().all(|(i, &p)| p as usize == i);
    (1..=MOST_ROWS).contains(&rows)
        && job.q.rows / rows * job.kv_heads >= team.threads()
        && job.head_dim > 0
        && job.head_dim.is_multiple_of(COLS)
        && job.scale > 0.0
        && (job.window == 0 || job.window as usize >= rows)
        && job.positions.chunks(rows).all(whole)
}

pub fn attend(job: &Attention<'_>, team: &Team, simd: Simd, out: &mut MatMut<'_>) {
    let out = out.parts();
    each(job, team, |begin, head| {
        let block = Block {
            job,
            simd,
            begin,
            head,
        };
        // SAFETY: each task has its own heads of its own rows.
        unsafe { block.attend(out) };
    });
}

/// All gradients.
pub fn back(back: &BackQ<'_>, team: &Team, simd: Simd, to: Targets<'_, '_>) {
    let parts = [to.stats, to.dq, to.dk, to.dv].map(MatMut::parts);
    let job = &back.forward;
    each(job, team, |begin, head| {
        let block = Block {
            job,
            simd,
            begin,
            head,
        };
        // SAFETY: each task has its own heads of its own rows.
        unsafe { block.back(back, parts) };
    });
}

/// Runs `task` with the first row of each sequence and each key head.
fn each(job: &Attention<'_>, team: &Team, task: impl Fn(usize, usize) + Sync) {
    let count = job.q.rows / job.sequence * job.kv_heads;
    team.ranges(count, count / (TASKS_EACH * team.threads()), |range| {
        for i in range {
            task(i / job.kv_heads * job.sequence, i % job.kv_heads);
        }
    });
}

/// A sequence of one key head.
struct Block<'a> {
    job: &'a Attention<'a>,
    simd: Simd,
    /// The sequence's first row.
    begin: usize,
    head: usize,
}

/// What is known of each query.
pub struct Known<'a> {
    /// Its largest score, before the scale.
    largest: &'a mut [f32],
    /// The sum of its exponentials.
    total: &'a mut [f32],
}

impl Block<'_> {
    fn rows(&self) -> Range<usize> {
        self.begin..self.begin + self.job.sequence
    }

    /// Columns of the scores: queries, and what pads them.
    fn pitch(&self) -> usize {
        self.job.sequence.next_multiple_of(COLS)
    }

    fn query_heads(&self) -> Range<usize> {
        let group = self.job.group();
        self.head * group..(self.head + 1) * group
    }

    /// The columns of a head.
    fn columns(&self, head: usize) -> Range<usize> {
        head * self.job.head_dim..(head + 1) * self.job.head_dim
    }

    /// # Safety
    /// The sequence's rows of the key head's columns of `out` are the caller's own.
    unsafe fn attend(&self, out: Parts<'_>) {
        let (rows, dim, pitch) = (self.job.sequence, self.job.head_dim, self.pitch());
        let lens = [dim * pitch, rows * pitch, rows * dim, pitch, pitch];
        with_scratch(lens.iter().sum(), |mut scratch| {
            let pieces = lens.map(|len| take(&mut scratch, len));
            let [queries, scores, sums, largest, total] = pieces;
            let mut known = Known { largest, total };
            for head in self.query_heads() {
                self.exponentials(head, queries, scores, &mut known);
                self.times_before(scores, &self.job.values, sums);
                for (i, sums) in sums.chunks_exact(dim).enumerate() {
                    // SAFETY: the caller's.
                    let out = unsafe { out.cols_mut(self.begin + i, self.columns(head)) };
                    scaled(1.0 / known.total[i], sums, out);
                }
            }
        });
    }

    /// # Safety
    /// The sequence's rows of the key head's columns of `to` are the caller's own.
    unsafe fn back(&self, back: &BackQ<'_>, to: [Parts<'_>; 4]) {
        let job = self.job;
        let (rows, dim, pitch) = (job.sequence, job.head_dim, self.pitch());
        let (by_dim, by_key, by_row) = (dim * pitch, rows * pitch, rows * dim);
        let lens = [
            by_dim, by_key, by_key, by_row, by_row, by_row, pitch, pitch, pitch,
        ];
        let [stats, to_q, to_k, to_v] = to;
        with_scratch(lens.iter().sum(), |mut scratch| {
            let pieces = lens.map(|len| take(&mut scratch, len));
            let [turned, scores, slopes, dq, dk, dv, largest, total, delta] = pieces;
            delta.fill(0.0);
            let mut known = Known { largest, total };
            for head in self.query_heads() {
                let own = self.columns(head);
                self.exponentials(head, turned, scores, &mut known);
                self.products(&back.d_out, own.clone(), &job.values, turned, slopes);
                for (delta, row) in delta.iter_mut().zip(self.rows()) {
                    let (a, b) = (
                        &back.d_out.row(row)[own.clone()],
                        &back.out.row(row)[own.clone()],
                    );
                    *delta = dot(self.simd, a, b);
                }
                gradients(self.simd, scores, slopes, delta, known.total);
                self.times_before(slopes, &job.keys, dq);
                let keep = head > self.query_heads().start;
                self.times_after(slopes, (&job.q, own.clone()), dk, keep);
                self.times_after(scores, (&back.d_out, own.clone()), dv, keep);
                for (i, row) in self.rows().enumerate() {
                    // SAFETY: the caller's.
                    let (stats, to) = unsafe {
                        (
                            stats.cols_mut(row, 2 * head..2 * head + 2),
                            to_q.cols_mut(row, own.clone()),
                        )
                    };
                    let lse = known.largest[i] * job.scale + known.total[i].ln();
                    stats.copy_from_slice(&[lse, delta[i]]);
                    scaled(job.scale, &dq[i * dim..][..dim], to);
                }
            }
            for (i, row) in self.rows().enumerate() {
                for (to, from, factor) in [(to_k, &*dk, job.scale), (to_v, &*dv, 1.0)] {
                    // SAFETY: the caller's.
                    let to = unsafe { to.cols_mut(row, self.columns(self.head)) };
                    scaled(factor, &from[i * dim..][..dim], to);
                }
            }
        });
    }

    /// The exponentials of a query head's scores, 0 where a key is not seen.
    fn exponentials(
        &self,
        head: usize,
        turned: &mut [f32],
        scores: &mut [f32],
        known: &mut Known<'_>,
    ) {
        let job = self.job;
        self.products(&job.q, self.columns(head), &job.keys, turned, scores);
        for column in (0..self.pitch()).step_by(COLS) {
            exponentials(self.simd, column, job.scale, scores, known);
        }
    }

    /// The products of each key row of `cache` with the rows of some columns of `of` that see it,
    /// which are laid out by dimension in `turned`.
    fn products(
        &self,
        of: &Mat<'_>,
        columns: Range<usize>,
        cache: &Mat<'_>,
        turned: &mut [f32],
        to: &mut [f32],
    ) {
        let (dim, pitch) = (self.job.head_dim, self.pitch());
        transpose(self.simd, of, self.rows(), columns, turned, pitch);
        for strip in self.strips() {
            let first = strip.start / COLS * COLS;
            Product {
                rows: strip.len(),
                depth: dim,
                cols: pitch - first,
                a: self.from(cache, strip.start, self.head),
                order: Order::ByRow(cache.stride),
                b: &turned[first..],
                b_stride: pitch,
                c: &mut to[strip.start * pitch + first..],
                c_stride: pitch,
                keep: false,
            }
            .run(self.simd);
        }
    }

    /// For each query the sum of the keys' rows of `cache` times their shares.
    fn times_before(&self, shares: &[f32], cache: &Mat<'_>, to: &mut [f32]) {
        let (dim, pitch) = (self.job.head_dim, self.pitch());
        for strip in self.strips() {
            Product {
                rows: strip.len(),
                depth: strip.end,
                cols: dim,
                a: &shares[strip.start..],
                order: Order::ByDepth(pitch),
                b: self.from(cache, 0, self.head),
                b_stride: cache.stride,
                c: &mut to[strip.start * dim..],
                c_stride: dim,
                keep: false,
            }
            .run(self.simd);
        }
    }

    /// For each key the sum of some columns of the queries' rows times its shares in them.
    fn times_after(
        &self,
        shares: &[f32],
        (of, columns): (&Mat<'_>, Range<usize>),
        to: &mut [f32],
        keep: bool,
    ) {
        let (dim, pitch) = (self.job.head_dim, self.pitch());
        for strip in self.strips() {
            Product {
                rows: strip.len(),
                depth: self.job.sequence - strip.start,
                cols: dim,
                a: &shares[strip.start * pitch + strip.start..],
                order: Order::ByRow(pitch),
                b: self.from(of, strip.start, columns.start / dim),
                b_stride: of.stride,
                c: &mut to[strip.start * dim..],
                c_stride: dim,
                keep,
            }
            .run(self.simd);
        }
    }

    /// A head of a matrix from the sequence's row `row` on.
    fn from<'b>(&self, of: &Mat<'b>, row: usize, head: usize) -> &'b [f32] {
        &of.data[(self.begin + row) * of.stride + head * self.job.head_dim..]
    }

    /// The rows in pieces, none of which has rows of two blocks of columns.
    fn strips(&self) -> impl Iterator<Item = Range<usize>> {
        let rows = self.job.sequence;
        (0..rows).step_by(COLS).flat_map(move |block| {
            let end = rows.min(block + COLS);
            let starts = (block..end).step_by(STRIP);
            starts.map(move |start| start..end.min(start + STRIP))
        })
    }
}

/// `to = factor * from`
fn scaled(factor: f32, from: &[f32], to: &mut [f32]) {
    to.iter_mut().zip(from).for_each(|(to, v)| *to = v * factor);
}

for_each_level! {
    /// Turns the scores of `COLS` queries from `column` on into exponentials.
    exponentials = exponentials_body(
        column: usize, scale: f32, scores: &mut [f32], known: &mut Known<'_>
    )
}

#[inline(always)]
fn exponentials_body(column: usize, scale: f32, scores: &mut [f32], known: &mut Known<'_>) {
    let pitch = known.total.len();
    let mut most = [LOWEST; COLS];
    for (key, row) in scores
        .chunks_exact_mut(pitch)
        .enumerate()
        .take(column + COLS)
    {
        let row = &mut row[column..column + COLS];
        if key > column {
            let most = &MOST_SEEN[COLS + column - key..];
            for (score, &most) in row.iter_mut().zip(most) {
                *score = if *score < most { *score } else { most };
            }
        }
        for (most, score) in most.iter_mut().zip(row) {
            *most = if *score > *most { *score } else { *most };
        }
    }
    let mut sums = [0f32; COLS];
    for row in scores.chunks_exact_mut(pitch).take(column + COLS) {
        let row = row[column..column + COLS].iter_mut();
        for ((score, most), sum) in row.zip(&most).zip(&mut sums) {
            let below = (*score - most) * scale;
            let share = if below < SMALLEST { 0.0 } else { exp(below) };
            *sum += share;
            *score = share;
        }
    }
    known.largest[column..column + COLS].copy_from_slice(&most);
    known.total[column..column + COLS].copy_from_slice(&sums);
}

for_each_level! {
    /// Turns exponentials into shares, and the gradients of shares into those of scores before the
    /// scale: `shares = shares / total`, `slopes = shares * (slopes - delta)`.
    gradients = gradients_body(
        shares: &mut [f32], slopes: &mut [f32], delta: &[f32], total: &mut [f32]
    )
}

#[inline(always)]
fn gradients_body(shares: &mut [f32], slopes: &mut [f32], delta: &[f32], total: &mut [f32]) {
    let pitch = total.len();
    let rows = shares
        .chunks_exact_mut(pitch)
        .zip(slopes.chunks_exact_mut(pitch));
    for (key, (shares, slopes)) in rows.enumerate() {
        let first = key / COLS * COLS;
        let known = delta[first..].iter().zip(&total[first..]);
        let both = shares[first..].iter_mut().zip(&mut slopes[first..]);
        for ((share, slope), (delta, total)) in both.zip(known) {
            *share /= total;
            *slope = *share * (*slope - delta);
        }
    }
}

for_each_level! {
    /// The sum of products.
    dot = dot_body(a: &[f32], b: &[f32]) -> f32
}

#[inline(always)]
fn dot_body(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; COLS];
    for (a, b) in a.chunks_exact(COLS).zip(b.chunks_exact(COLS)) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

/// Lays some columns of some rows out by column, each `pitch` after the one before, with zeros
/// behind the last row.
fn transpose(
    simd: Simd,
    from: &Mat<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
    to: &mut [f32],
    pitch: usize,
) {
    for to in to.chunks_exact_mut(pitch) {
        to[rows.len()..].fill(0.0);
    }
    match simd.floats() {
        // SAFETY: the level says what the processor has.
        #[cfg(target_arch = "x86_64")]
        Floats::Avx512 => unsafe { squares::<Avx512>(from, rows, columns, to, pitch) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Floats::Avx2 => unsafe { squares::<Avx2>(from, rows, columns, to, pitch) },
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        Floats::Neon => unsafe { squares::<Neon>(from, rows, columns, to, pitch) },
        _ => one_by_one(from, rows, columns, to, pitch),
    }
}

/// By squares of as many rows as a vector has lanes.
///
/// # Safety
/// The processor must have this level.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
unsafe fn squares<L: Level>(
    from: &Mat<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
    to: &mut [f32],
    pitch: usize,
) {
    let dim = columns.len();
    if rows.len() < L::LANES || !dim.is_multiple_of(L::LANES) {
        return one_by_one(from, rows, columns, to, pitch);
    }
    // The last rows are laid out again rather than one at a time.
    let last = rows.len() - L::LANES;
    for row in (0..rows.len()).step_by(L::LANES).map(|row| row.min(last)) {
        for column in (0..dim).step_by(L::LANES) {
            let first = (rows.start + row) * from.stride + columns.start + column;
            let from_len = (L::LANES - 1) * from.stride + L::LANES;
            let from_square = &from.data[first..first + from_len];
            let to_len = (L::LANES - 1) * pitch + L::LANES;
            let to_square = &mut to[column * pitch + row..][..to_len];
            // SAFETY: both slices reach over the square; the level is the caller's promise.
            unsafe {
                let to = to_square.as_mut_ptr();
                L::transpose(from_square.as_ptr(), from.stride, to, pitch);
            }
        }
    }
}

fn one_by_one(
    from: &Mat<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
    to: &mut [f32],
    pitch: usize,
) {
    for (i, row) in rows.enumerate() {
        for (d, v) in from.row(row)[columns.clone()].iter().enumerate() {
            to[d * pitch + i] = *v;
        }
    }
}
