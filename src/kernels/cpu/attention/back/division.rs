//! How the rows are divided into parts whose sums for keys and values are made apart and then
//! added.

use std::ops::Range;

use crate::engine::cpu::Team;
use crate::engine::view::{Mat, MatMut};
use crate::kernels::cpu::attention::columns::positions_each;
use crate::kernels::cpu::attention::{Attention, by_position};
use crate::kernels::cpu::product::COLS;

/// Parts' sums take no more floats than these, unless one part alone does.
const MOST_SUMS: usize = 16 << 20;
/// More than these are not taken: threads keep them.
const TOO_MANY_SUMS: usize = 4 * MOST_SUMS;
/// Keys of a task that adds up.
const KEYS: usize = 128;

/// How the rows are divided.
pub struct Division {
    /// All rows, in the order of their positions.
    pub order: Vec<u32>,
    /// Rows that are stacked.
    pub each: usize,
    pub parts: Vec<Range<usize>>,
}

impl Division {
    /// `None` where threads would be left without a task, or the sums take too much memory.
    pub fn of(job: &Attention<'_>, team: &Team) -> Option<Division> {
        let (heads, threads) = (job.kv_heads, team.threads());
        let of_one = sums_len(job).saturating_mul(heads);
        if of_one > TOO_MANY_SUMS {
            return None;
        }
        let each = positions_each(job, threads);
        let even = |count: &usize| (count * heads).is_multiple_of(threads);
        let least = (4 * threads).div_ceil(heads);
        let count = (least..least + threads).find(even).unwrap_or(least);
        let most = (MOST_SUMS / of_one.max(1)).min(job.q.rows / each);
        let parts = parts(job, each, count.min(most).max(1));
        (parts.len() * heads >= threads).then(|| Division {
            order: by_position(job.positions),
            each,
            parts,
        })
    }
}

/// Cuts the rows into `count` parts, or fewer, that see as many keys each.
fn parts(job: &Attention<'_>, each: usize, count: usize) -> Vec<Range<usize>> {
    let rows = job.q.rows;
    let seen = |row| job.visible(row).len();
    let total: usize = (0..rows).map(seen).sum();
    let (mut parts, mut start, mut before) = (Vec::with_capacity(count), 0, 0);
    for row in 0..rows {
        before += seen(row);
        let full = before * count >= total * (parts.len() + 1);
        if row + 1 == rows || full && (row + 1 - start).is_multiple_of(each) {
            parts.push(start..row + 1);
            start = row + 1;
        }
    }
    parts
}

/// Floats of one task's sums: for each key those of its gradient and of its value's.
pub fn sums_len(job: &Attention<'_>) -> usize {
    2 * job.keys.rows * width(job)
}

pub fn width(job: &Attention<'_>) -> usize {
    job.head_dim.next_multiple_of(COLS)
}

/// Keys that any of some rows sees: positions rise.
pub fn seen(job: &Attention<'_>, rows: &Range<usize>) -> Range<usize> {
    job.visible(rows.start).start..job.visible(rows.end - 1).end
}

/// Adds up what the parts summed, a key at a time.
pub fn add_parts(
    job: &Attention<'_>,
    division: &Division,
    team: &Team,
    sums: Mat<'_>,
    (dk, dv): (&mut MatMut<'_>, &mut MatMut<'_>),
) {
    let (dim, width, keys) = (job.head_dim, width(job), job.keys.rows);
    let (dk, dv) = (dk.parts(), dv.parts());
    let seen: Vec<Range<usize>> = division.parts.iter().map(|rows| seen(job, rows)).collect();
    team.ranges(keys, KEYS, |range| {
        for (key, head) in range.flat_map(|key| (0..job.kv_heads).map(move |head| (key, head))) {
            let columns = head * dim..(head + 1) * dim;
            for (to, first) in [(dk, 0), (dv, keys)] {
                // SAFETY: each key belongs to one range.
                let to = unsafe { to.cols_mut(key, columns.clone()) };
                to.fill(0.0);
                for (part, _) in seen.iter().enumerate().filter(|(_, s)| s.contains(&key)) {
                    let sums = &sums.row(part * job.kv_heads + head)[(first + key) * width..];
                    to.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum);
                }
            }
        }
    });
}
