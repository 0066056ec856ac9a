//! Contextual utility: how much each chunk's tokens depend on context beyond their neighbourhood.
//!
//! `U_c = mean over t in C_c of |log P_full(x_t) - log P_local(x_t)|`, where the local pass sees
//! `n` to `2 n` tokens before `x_t`.

use std::ops::Range;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;

use super::chunk::Chunk;
use super::estimate::{changes, sight};
use super::event::ChunkUtility;

/// The blocks of `window` tokens that the local pass reads: all of them, or of each chunk the
/// given part (at least one), drawn with the seed. The first two blocks are left out: they see all
/// that the first pass saw.
pub fn blocks(chunks: &[Chunk], tokens: usize, window: usize, part: f64, seed: u64) -> Vec<usize> {
    let all = sight(1)..tokens.div_ceil(window.max(1));
    if part >= 1.0 {
        return all.map(|block| block * window).collect();
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
        chosen.extend(own.into_iter().map(|block| block * window));
    }
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// The utility of each chunk from both surprisals, a token each; those that the local pass skipped
/// are estimated.
pub fn of_chunks(
    chunks: &[Chunk],
    bytes: &[Range<usize>],
    ids: &[u32],
    full: &[Option<f32>],
    local: &[Option<f32>],
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
