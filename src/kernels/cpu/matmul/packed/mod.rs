//! One to eight rows with 8-bit dot products (VNNI of 512 or 256 bits, `sdot` or `smmla` on ARM),
//! from a copy of the weight laid out for them.
//!
//! In the copy 16 rows of the weight are interleaved: 64 bytes hold four neighbours along the depth
//! of each, so a dot product of bytes adds them up in the row's own lane and nothing is summed
//! across lanes. Every 32 values of `x` are a fixed-point number of 23 bits in three parts of 8
//! (see [`activations`]), so the integer sums of a block are exact and no accuracy is given up for
//! the speed: what is rounded is what `f32` sums round.

mod activations;
mod formats;
mod quants;
#[cfg(test)]
mod tests;
mod vectors;

use std::ops::Range;

use super::{Matmul, same_x};
use crate::engine::DType;
use crate::engine::copies::Region;
use crate::engine::cpu::Team;
use crate::engine::system::memory_available;
use crate::engine::view::{MatMut, Parts};
use crate::kernels::cpu::scratch::{take, with_scratch};
use crate::kernels::cpu::simd::Simd;
use activations::{Block, LEN};
use formats::{Format, with_packed};
use vectors::{Vectors, slices};

/// Rows of the weight in one group.
const GROUP: usize = 16;
/// Rows of `x` multiplied at once: their sums stay in registers.
const AT_ONCE: usize = 4;

/// Multiplies all `jobs` as one, if the processor has dot products of bytes and there are copies of
/// the weights or room to make them. What was done before never changes the result: a copy is made
/// at the first call.
pub fn run(jobs: &[Matmul<'_>], team: &Team, simd: Simd, outs: &mut [MatMut<'_>]) -> bool {
    match simd {
        #[cfg(target_arch = "x86_64")]
        Simd::Vnni => run_with::<vectors::Vnni>(jobs, team, outs),
        #[cfg(target_arch = "x86_64")]
        Simd::AvxVnni => run_with::<vectors::AvxVnni>(jobs, team, outs),
        #[cfg(target_arch = "aarch64")]
        Simd::I8mm => run_with::<vectors::I8mm>(jobs, team, outs),
        #[cfg(target_arch = "aarch64")]
        Simd::Dotprod => run_with::<vectors::Dotprod>(jobs, team, outs),
        _ => false,
    }
}

/// As [`run`] on a processor that has the level.
fn run_with<V: Vectors>(jobs: &[Matmul<'_>], team: &Team, outs: &mut [MatMut<'_>]) -> bool {
    let copies: Option<Vec<_>> = jobs.iter().map(|job| layout_of::<V>(job, team)).collect();
    let Some(copies) = copies else {
        return false;
    };
    let floats = |job: &Matmul<'_>| job.x.rows * (job.x.cols / LEN) * Block::FLOATS;
    with_scratch(jobs.iter().map(floats).sum(), |mut scratch| {
        let mut works: Vec<Work<'_>> = Vec::with_capacity(jobs.len());
        for ((job, out), layout) in jobs.iter().zip(outs).zip(copies) {
            let shared = works
                .iter()
                .find(|work| same_x(work.job, job))
                .map(|work| work.x);
            let x = shared.unwrap_or_else(|| split_rows::<V>(job, take(&mut scratch, floats(job))));
            works.push(Work::new(job, x, layout, out.parts(), team.threads()));
        }
        let tasks = works.iter().map(|work| work.tasks).sum();
        team.run(tasks, |mut task| {
            for work in &works {
                if task < work.tasks {
                    // SAFETY: each task has its own columns of the output.
                    unsafe { work.run(task) };
                    return;
                }
                task -= work.tasks;
            }
        });
    });
    true
}

/// The rows of `x` in parts.
fn split_rows<V: Vectors>(job: &Matmul<'_>, scratch: &mut [f32]) -> *const Block {
    let row = job.x.cols / LEN * Block::FLOATS;
    for (r, blocks) in scratch.chunks_exact_mut(row.max(1)).enumerate() {
        // SAFETY: chosen where the processor has the level; there is room for a row's blocks, and
        // scratch memory starts on a cache line.
        unsafe { V::split_row(job.x.row(r), blocks.as_mut_ptr().cast()) };
    }
    scratch.as_ptr().cast()
}

/// A weight's copy and what reads it.
#[derive(Clone, Copy)]
struct Layout<'a> {
    copy: &'a [u8],
    group_bytes: usize,
    /// Multiplies with some groups.
    groups: unsafe fn(&Work<'_>, Range<usize>),
}

fn layout_of<'a, V: Vectors>(job: &Matmul<'a>, team: &Team) -> Option<Layout<'a>> {
    with_packed!(job.weight.dtype, F => Some(Layout {
        copy: copy::<F>(job, team)?.bytes(),
        group_bytes: job.x.cols / F::LEN * F::BYTES,
        groups: V::groups::<F>,
    }), else None)
}

/// Groups that make a task: few and large, so that each thread reads long runs of memory, and a
/// few for each thread, so that a late one does not hold up the rest.
fn grain(groups: usize, group_bytes: usize, threads: usize) -> usize {
    const LEAST_BYTES: usize = 24 << 10;
    let least = LEAST_BYTES.div_ceil(group_bytes.max(1));
    groups.div_ceil(threads * 2).max(least)
}

/// The weight's copy, made now if there is none yet.
fn copy<'a, F: Format>(job: &Matmul<'a>, team: &Team) -> Option<&'a Region> {
    let weight = &job.weight;
    let source = weight.copy?;
    let made = source.slot.get_or_init(|| {
        let rows = source.data.len() / weight.row_bytes;
        let (steps, groups) = (weight.cols / F::LEN, rows.div_ceil(GROUP));
        let group_bytes = steps * F::BYTES;
        let fill = |memory: &mut [u8]| {
            let floats = bytemuck::cast_slice_mut(memory);
            let mut copy = MatMut::new(floats, groups, group_bytes / 4, group_bytes / 4);
            team.rows(&mut copy, 4, |g, group| {
                let group: &mut [u8] = bytemuck::cast_slice_mut(group);
                let block_bytes = F::DTYPE.block_bytes();
                for (s, to) in group.chunks_exact_mut(F::BYTES).enumerate() {
                    let block = |r: usize| {
                        let row = g * GROUP + r;
                        let at = row * weight.row_bytes + s * block_bytes;
                        (row < rows).then(|| &source.data[at..at + block_bytes])
                    };
                    F::pack(&std::array::from_fn(block), to);
                }
            });
        };
        source
            .copies
            .make(groups * group_bytes, memory_available, fill)
    });
    made.as_ref()
}

/// One multiplication with the rows of `x` in parts.
struct Work<'a> {
    job: &'a Matmul<'a>,
    x: *const Block,
    /// Blocks of a row of `x`.
    blocks: usize,
    layout: Layout<'a>,
    /// The weight's row that gives the first column of `out`.
    from: usize,
    /// Groups that have columns of `out`, how many of them make a task, and how many tasks.
    groups: Range<usize>,
    grain: usize,
    tasks: usize,
    out: Parts<'a>,
}

// SAFETY: what `x` points to is only read while tasks run.
unsafe impl Sync for Work<'_> {}

impl<'a> Work<'a> {
    fn new(
        job: &'a Matmul<'a>,
        x: *const Block,
        layout: Layout<'a>,
        out: Parts<'a>,
        threads: usize,
    ) -> Work<'a> {
        let from = job.weight.copy.map_or(0, |source| source.first_row);
        let groups = from / GROUP..(from + out.cols()).div_ceil(GROUP);
        // What the unsafe code below relies on.
        assert!(groups.end * layout.group_bytes <= layout.copy.len());
        let grain = grain(groups.len(), layout.group_bytes, threads);
        Work {
            job,
            x,
            blocks: job.x.cols / LEN,
            layout,
            from,
            tasks: groups.len().div_ceil(grain),
            groups,
            grain,
            out,
        }
    }

    /// # Safety
    /// No task may run twice.
    unsafe fn run(&self, task: usize) {
        let start = self.groups.start + task * self.grain;
        let range = start..self.groups.end.min(start + self.grain);
        // SAFETY: the extents were checked as this was made; the processor has what the level says.
        unsafe { (self.layout.groups)(self, range) }
    }

    /// The products of some groups.
    ///
    /// # Safety
    /// The groups must lie in the copy and their columns of `out` be this task's own; the processor
    /// must have the level.
    #[inline(always)]
    unsafe fn multiply<V: Vectors, F: Format>(&self, groups: Range<usize>) {
        let count = self.job.x.rows;
        for g in groups {
            for row in (0..count).step_by(AT_ONCE) {
                // SAFETY: the caller's.
                unsafe {
                    match count - row {
                        1 => self.group::<V, F, 1>(g, row),
                        2 => self.group::<V, F, 2>(g, row),
                        _ => self.group::<V, F, AT_ONCE>(g, row),
                    }
                }
            }
        }
    }

    /// The products of one group with up to `M` rows of `x` from `row` on.
    ///
    /// # Safety
    /// As for [`Work::multiply`].
    #[inline(always)]
    unsafe fn group<V: Vectors, F: Format, const M: usize>(&self, g: usize, row: usize) {
        let count = M.min(self.job.x.rows - row);
        // Rows that are not there repeat the last one.
        let mut x = [self.x; M];
        for (m, x) in x.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *x = unsafe { x.add((row + m.min(count - 1)) * self.blocks) };
        }
        // SAFETY: the caller's.
        let mut sums = [unsafe { V::nothing() }; M];
        // SAFETY: the group lies in the copy.
        let mut from = unsafe { self.layout.copy.as_ptr().add(g * self.layout.group_bytes) };
        for _ in 0..self.layout.group_bytes / F::BYTES {
            // SAFETY: a step of the group and the blocks of `x` it belongs to.
            unsafe {
                F::step::<V, M>(from, x, &mut sums);
                from = from.add(F::BYTES);
                for x in &mut x {
                    *x = x.add(F::LEN / LEN);
                }
            }
        }
        for (m, sums) in sums.iter().enumerate().take(count) {
            let mut lanes = [0.0; GROUP];
            for slice in 0..slices::<V>() {
                let to = &mut lanes[slice * V::LANES..][..V::LANES];
                // SAFETY: room for a vector.
                unsafe { V::store(sums.as_ref()[slice], to.as_mut_ptr()) };
            }
            // SAFETY: the caller's.
            unsafe { self.write(g, row + m, &lanes) };
        }
    }

    /// Puts a group's products with one row of `x` where they belong.
    ///
    /// # Safety
    /// As for [`Work::multiply`].
    #[inline(always)]
    unsafe fn write(&self, g: usize, row: usize, sums: &[f32; GROUP]) {
        // The group's rows that the output has, and their columns.
        let first = self.from.saturating_sub(g * GROUP);
        let end = GROUP.min(self.from + self.out.cols() - g * GROUP);
        let cols = g * GROUP + first - self.from..g * GROUP + end - self.from;
        // SAFETY: the caller's.
        let out = unsafe { self.out.cols_mut(row, cols.clone()) };
        let bias = self.job.bias.map(|bias| &bias[cols]);
        // A length known beforehand makes this a few vectors.
        if out.len() == GROUP {
            self.put(&mut out[..GROUP], sums, bias.map(|bias| &bias[..GROUP]));
        } else {
            self.put_some(out, &sums[first..end], bias);
        }
    }

    /// As [`Work::put`] of groups that the output has not all rows of.
    #[cold]
    #[inline(never)]
    fn put_some(&self, out: &mut [f32], sums: &[f32], bias: Option<&[f32]>) {
        self.put(out, sums, bias);
    }

    /// Writes or adds sums, and adds the bias.
    #[inline(always)]
    fn put(&self, out: &mut [f32], sums: &[f32], bias: Option<&[f32]>) {
        let accumulate = self.job.accumulate;
        let add = |(out, sum): (&mut f32, f32)| *out = if accumulate { *out + sum } else { sum };
        let sums = sums.iter().copied();
        if let Some(bias) = bias {
            let biased = sums.zip(bias).map(|(sum, bias)| sum + bias);
            out.iter_mut().zip(biased).for_each(add);
        } else {
            out.iter_mut().zip(sums).for_each(add);
        }
    }
}
