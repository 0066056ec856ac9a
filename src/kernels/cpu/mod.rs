//! The fast insides of the CPU twins.
//!
//! Each twin picks the best code its processor can run. The plain loops in the reference
//! functions are what the tests hold every faster path against.
//!
//! Only the level itself is public: what takes a level trusts it to be one that the processor has.
//!
//! # Levels
//!
//! A [`Simd`] is the instructions that a twin may use, and `simd::Floats` the registers that it
//! computes with floats in. What differs between registers lies behind a trait: `tile::Level` is
//! what multiplies many rows, `matmul::packed::vectors::Vectors` what multiplies bytes. Work on
//! single rows is written as plain loops, which `rows::for_each_level` compiles for each.
//!
//! # Paths
//!
//! | path | what it does | taken |
//! |---|---|---|
//! | `matmul::packed` | dot products of bytes, from a copy of the weight with 16 rows interleaved | 1 to 8 rows of quantised weights, with VNNI, AVX-VNNI, `dotprod` or `i8mm` and room for the copy |
//! | `matmul::few` | each row of the weight is expanded in registers and multiplied on the way | 1 to 8 rows otherwise, with AVX-512 |
//! | `matmul::portable::few` | the same with AVX2 or NEON (`avx2`, `neon`); without, a row is expanded into the cache | 1 to 8 rows otherwise |
//! | `narrow` | the other factor is expanded whole, and each task takes some rows | more rows, where tiles would be half empty: up to 16 columns, 8 with AVX2 and NEON |
//! | `matmul::many`, `matmul_back::many` | panels of the weight are expanded into the cache and multiplied in the tiles of a `tile::Level` | everything else, with AVX-512, AVX2 or NEON |
//! | `matmul::portable::many`, `matmul_back::portable` | panels are expanded and multiplied by `general` | everything else, without |
//! | `outer::tiled` | reads both factors once, and keeps the sums of the narrow by some of the wide | gradients of LoRA matrices, with AVX-512; `general` without |
//! | `general` | products of matrices that lie anywhere, by a crate | by the paths that name it |
//! | `product` | small products of matrices in scratch memory, in tiles of each level | by `attention::blocked`, `attention::short` and all of `attention::back` |
//! | `attention::tiled` | stacked queries against keys and values laid out in tiles | with AVX-512 |
//! | `attention::direct` | keys and values are read where they lie | inside `tiled`, up to 8 stacked queries |
//! | `attention::blocked` | scores a row for each key (`columns`), so that no sum crosses lanes | without AVX-512, from 12 stacked queries on if no thread is left idle |
//! | `attention::plain` | a query at a time | without AVX-512, otherwise |
//! | `attention::short` | all scores of a head at once, forward and for all gradients, without those that no query sees | many sequences of up to 256 rows, each from its beginning, heads of whole tiles |
//! | `attention::back::together` | all gradients at once, with the scores of some positions kept | where the gradients of queries, keys and values are wanted and each thread's sums find room |
//! | `attention::back::queries`, `keys` | these gradients alone, with a tile of scores kept | otherwise |

mod simd;

mod exp;
mod general;
mod narrow;
mod product;
pub(crate) mod rows;
pub(crate) mod rows_back;
mod scratch;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod tile;
#[cfg(target_arch = "x86_64")]
mod unpack;

pub(crate) mod attention;
pub(crate) mod matmul;
pub(crate) mod matmul_back;
pub(crate) mod outer;

pub(crate) use scratch::with_scratch;
pub use simd::Simd;

use std::ops::Range;

use crate::engine::cpu::Team;
use crate::engine::view::MatMut;

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

/// Columns of a tile: few enough for their sums to stay in the first cache.
pub(crate) const TILE: usize = 256;

/// Calls `work` with each row of `out` and each tile of its columns, and with zeros to sum rows of
/// something else in; `finish` then gets the part of `out` and these sums.
pub(crate) fn sum_tiles(
    team: &Team,
    out: &mut MatMut<'_>,
    work: impl Fn(usize, Range<usize>, &mut [f32]) + Sync,
    finish: impl Fn(&mut [f32], &[f32]) + Sync,
) {
    let out = out.parts();
    let in_row = out.cols().div_ceil(TILE);
    team.run(out.rows() * in_row, |task| {
        let (row, start) = (task / in_row, task % in_row * TILE);
        let cols = start..out.cols().min(start + TILE);
        let mut sums = [0.0; TILE];
        let sums = &mut sums[..cols.len()];
        work(row, cols.clone(), sums);
        // SAFETY: every tile belongs to one task.
        finish(unsafe { out.cols_mut(row, cols) }, sums);
    });
}
