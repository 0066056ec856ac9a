//! The fast insides of the CPU twins.
//!
//! Each twin picks the best code its processor can run. The plain loops in the reference
//! functions are what the tests hold every faster path against.
//!
//! Only the level itself is public: what takes a level trusts it to be one that the processor has.

mod simd;

#[cfg(target_arch = "x86_64")]
mod amx;
mod exp;
mod general;
mod narrow;
mod product;
pub(crate) mod rows;
pub(crate) mod rows_back;
mod scratch;
#[cfg(target_arch = "x86_64")]
mod tile;
#[cfg(target_arch = "x86_64")]
mod unpack;

pub(crate) mod attention;
pub(crate) mod matmul;
pub(crate) mod matmul_back;
pub(crate) mod outer;

pub use simd::Simd;

use std::ops::Range;

use crate::engine::cpu::Team;

/// Elements that are worth a task of their own: some 10 microseconds of work.
const PIECE: usize = 16_384;

/// Calls `work` with a row and some of its columns until all of `rows` x `cols` elements are
/// covered, each once. Short rows come whole, several to a task; long ones are cut.
pub(crate) fn pieces(
    team: &Team,
    rows: usize,
    cols: usize,
    work: impl Fn(usize, Range<usize>) + Sync,
) {
    if cols <= PIECE {
        let grain = PIECE / cols.max(1);
        team.ranges(rows, grain, |range| range.for_each(|r| work(r, 0..cols)));
        return;
    }
    let in_row = cols.div_ceil(PIECE);
    team.run(rows * in_row, |task| {
        let start = task % in_row * PIECE;
        work(task / in_row, start..cols.min(start + PIECE));
    });
}
