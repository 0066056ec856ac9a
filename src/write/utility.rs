//! Contextual utility: how much each chunk's tokens depend on context beyond their neighbourhood.
//!
//! `U_c = mean over t in C_c of |log P_full(x_t) - log P_local(x_t)|`, where the local pass sees
//! `n` to `2 n` tokens before `x_t`.

use std::ops::Range;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;

use super::chunk::Chunk;
use super::estimate::{Local, changes, sight};
use super::event::ChunkUtility;

/// The blocks of `window` tokens that the local pass reads: all of them, or of each chunk the
/// given part (at least one), drawn with the seed. The first two blocks are left out: they see all
/// that the first pass saw.
pub fn blocks(
    chunks: &[Chunk],
    tokens: usize,
    window: usize,
    part: f64,
    seed: u64,
) -> Vec<Range<usize>> {
    let window = window.max(1);
    let all = sight(1)..tokens.div_ceil(window);
    let range = |block: usize| block * window..tokens.min((block + 1) * window);
    if part >= 1.0 {
        return all.map(range).collect();
    }
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let mut chosen = Vec::new();
    for chunk in chunks {
        let mut own: Vec<usize> = all
            .clone()
            .filter(|block| chunk.tokens.contains(&(block * window)))
            .collect();
        let count = (own.len() as f64 * part).round().max(1.0) as usize;
        own.shuffle(&mut random);
        own.truncate(count);
        chosen.extend(own);
    }
    chosen.sort_unstable();
    chosen.dedup();
    chosen.into_iter().map(range).collect()
}

/// How a part of the local pass's cost is spent: on glances at blocks first, then on reading blocks
/// anew.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spending {
    /// The part of the blocks that are glanced at.
    pub glanced: f64,
    /// How many of these are read anew: at least one, which tells what a glance is worth.
    pub read: usize,
    /// What that costs of reading all exactly: as near to the part as whole blocks come.
    pub cost: f64,
}

impl Spending {
    /// For `blocks` of which a glance costs `glance` of reading one exactly, and reading one anew `read`.
    pub fn of(part: f64, blocks: usize, glance: f64, read: f64) -> Spending {
        let budget = part * blocks as f64;
        let glanced = (part / glance).min(1.0);
        let left = budget - glanced * blocks as f64 * glance;
        let count = ((left / read).round().max(1.0) as usize).min(blocks);
        Spending {
            glanced,
            read: count,
            cost: glanced * glance + count as f64 * read / blocks.max(1) as f64,
        }
    }
}

/// The blocks to be read anew: the `count` where the glances saw most change, in the text's order.
pub fn most_changed(
    glanced: &[Option<f32>],
    blocks: &[Range<usize>],
    count: usize,
) -> Vec<Range<usize>> {
    let change = |block: &Range<usize>| -> f32 {
        let known = glanced[block.clone()].iter().flatten();
        known.map(|change| change.abs()).sum()
    };
    let mut order: Vec<(f32, &Range<usize>)> = blocks.iter().map(|b| (change(b), b)).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    order.truncate(count);
    order.sort_by_key(|(_, block)| block.start);
    order.into_iter().map(|(_, block)| block.clone()).collect()
}

/// The utility of each chunk from both surprisals, a token each; those that the local pass skipped
/// are estimated.
pub fn of_chunks(
    chunks: &[Chunk],
    bytes: &[Range<usize>],
    ids: &[u32],
    full: &[Option<f32>],
    local: &Local,
    window: usize,
) -> Vec<ChunkUtility> {
    let changes = changes(ids, full, local, window);
    chunks
        .iter()
        .map(|chunk| {
            let known = || changes[chunk.tokens.clone()].iter().flatten();
            let signed = mean(known().map(|change| change.signed));
            let utility = mean(known().map(|change| change.size));
            let own = full[chunk.tokens.clone()].iter().flatten();
            ChunkUtility {
                tokens: chunk.tokens.clone(),
                text: text_of(bytes, &chunk.tokens),
                title: chunk.title.clone(),
                utility: utility.unwrap_or(0.0),
                signed: signed.unwrap_or(0.0),
                surprisal: mean(own.map(|&s| f64::from(s))).unwrap_or(0.0),
            }
        })
        .collect()
}

/// The bytes of the text that some tokens stand for.
fn text_of(bytes: &[Range<usize>], tokens: &Range<usize>) -> Range<usize> {
    match (
        bytes.get(tokens.start),
        bytes.get(tokens.end.saturating_sub(1)),
    ) {
        (Some(first), Some(last)) if !tokens.is_empty() => first.start..last.end,
        _ => 0..0,
    }
}

/// The mean, `None` of nothing.
pub fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), v| (sum + v, count + 1));
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glances_come_first_and_one_block_is_always_read() {
        let spent = |part, blocks| {
            let s = Spending::of(part, blocks, 0.2, 1.0);
            (s.glanced, s.read)
        };
        assert_eq!(spent(0.25, 100), (1.0, 5));
        assert_eq!(spent(0.5, 10), (1.0, 3));
        assert_eq!(spent(0.1, 100), (0.5, 1));
        assert_eq!(spent(0.25, 4), (1.0, 1));
        assert_eq!(spent(0.25, 0), (1.0, 0));
        assert_eq!(Spending::of(0.9, 10, 2.0, 1.0).read, 1);
        assert!(Spending::of(0.25, 1, 0.2, 1.0).cost > 1.0);
        assert!((Spending::of(0.25, 100, 0.2, 1.0).cost - 0.25).abs() < 1e-9);
        // Cheaper readings are more.
        assert_eq!(Spending::of(0.25, 100, 0.2, 0.5).read, 10);
        assert!((Spending::of(0.25, 100, 0.2, 0.5).cost - 0.25).abs() < 1e-9);
        assert_eq!(Spending::of(0.25, 18, 0.18, 0.65).read, 2);
        // Nothing is left to glance at.
        assert_eq!(Spending::of(0.9, 100, 0.15, 0.5).read, 100);
        assert_eq!(Spending::of(0.25, 1, 0.1, 0.65).read, 1);
    }

    #[test]
    fn blocks_with_most_change_are_read() {
        let glanced = [0.1, -0.1, -3.0, 0.0, 1.0, 1.0].map(Some);
        let blocks = [0..2, 2..4, 4..6];
        assert_eq!(most_changed(&glanced, &blocks, 2), [2..4, 4..6]);
        assert_eq!(most_changed(&glanced, &blocks, 9), blocks);
        assert!(most_changed(&[], &[], 1).is_empty());
    }
}
