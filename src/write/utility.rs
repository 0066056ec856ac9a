//! Contextual utility: how much each chunk's tokens depend on context beyond their neighbourhood.
//!
//! `U_c = mean over t in C_c of |log P_full(x_t) - log P_local(x_t)|`, where the local pass sees
//! `n` to `2 n` tokens before `x_t`.

use std::ops::Range;

use super::chunk::Chunk;
use super::event::ChunkUtility;

/// The utility of each chunk from the surprisals of both passes, a token each.
pub fn of_chunks(
    chunks: &[Chunk],
    bytes: &[Range<usize>],
    full: &[Option<f32>],
    local: &[Option<f32>],
) -> Vec<ChunkUtility> {
    // Surprisals are negated log-probabilities: log P_full - log P_local = local - full.
    let changes = full.iter().zip(local);
    let changes = changes.map(|(full, local)| Some(f64::from((*local)?) - f64::from((*full)?)));
    let changes: Vec<Option<f64>> = changes.collect();
    chunks
        .iter()
        .map(|chunk| {
            let known = || changes[chunk.tokens.clone()].iter().flatten();
            let signed = mean(known().copied());
            let utility = mean(known().map(|change| change.abs()));
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

/// The bytes of the text that some tokens came from.
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
