//! The fast insides of the CPU twins.
//!
//! Each twin picks the best code its processor can run. The plain loops in the reference
//! functions are what the tests hold every faster path against.

pub mod simd;

#[cfg(target_arch = "x86_64")]
mod amx;
mod exp;
mod narrow;
mod product;
pub mod rows;
pub mod rows_back;
mod scratch;
#[cfg(target_arch = "x86_64")]
mod tile;
#[cfg(target_arch = "x86_64")]
mod unpack;

pub mod attention;
pub mod matmul;
pub mod matmul_back;
pub mod outer;

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
