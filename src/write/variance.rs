//! How much of a step's gradient noise comes from not knowing which chunk it was drawn from.
//!
//! The law of total variance, for gradients of batches drawn from the whole document:
//! `Var(g) = E_c[Var(g | c)] + Var_c(E[g | c])`. Steps that stay within a chunk have only the
//! first term.

use std::ops::Range;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

use super::error::WriteError;
use super::learner::Learner;

/// The two parts, summed over all numbers that are trained. Chunks count by their tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradientVariance {
    /// Mean over the chunks of the variance within each.
    pub within: f64,
    /// Variance of the chunks' mean gradients.
    pub between: f64,
    /// `|E[g]|^2`, to compare the noise with.
    pub mean_squared: f64,
    /// Batches drawn from each chunk.
    pub draws: usize,
    /// [`GradientVariance::share_between`] of the same batches if every token had a gradient of its
    /// own, whatever chunk it is in: few tokens differ from other few by chance.
    pub between_by_chance: f64,
}

impl GradientVariance {
    /// The part of the whole variance that lies between the chunks.
    pub fn share_between(&self) -> f64 {
        let whole = self.within + self.between;
        if whole > 0.0 {
            self.between / whole
        } else {
            0.0
        }
    }
}

/// Measures both parts from `draws` batches a chunk (at least 2), with nothing learned. Both are
/// unbiased estimates, so that the smaller one can come out below zero.
pub fn gradient_variance(
    learner: &mut Learner,
    chunks: &[Range<usize>],
    draws: usize,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<GradientVariance, WriteError> {
    let draws = draws.max(2);
    let total = chunks.len() * draws;
    let chance = split(chunks, draws, &mut |batch, chunk| {
        Ok(chance_gradient(&learner.drawn(batch, chunk)))
    })?;
    let measured = split(chunks, draws, &mut |batch, chunk| {
        let gradient = learner.gradient(batch, chunk)?;
        progress(batch + 1, total);
        Ok(gradient)
    })?;
    Ok(GradientVariance {
        between_by_chance: chance.share_between(),
        ..measured
    })
}

/// Numbers of a gradient that nothing but the tokens decides.
const CHANCE_NUMBERS: usize = 512;

/// The mean over tokens of random numbers that are each token's own.
fn chance_gradient(tokens: &[usize]) -> Vec<f32> {
    let mut mean = vec![0.0; CHANCE_NUMBERS];
    for &token in tokens {
        let mut random = Pcg64Mcg::seed_from_u64(token as u64);
        for number in &mut mean {
            let uniform = (random.next_u64() >> 40) as f32 / (1 << 23) as f32 - 1.0;
            *number += uniform / tokens.len() as f32;
        }
    }
    mean
}

/// Splits the variance of what `gradient` gives for a batch's number and its chunk.
fn split(
    chunks: &[Range<usize>],
    draws: usize,
    gradient: &mut dyn FnMut(usize, Range<usize>) -> Result<Vec<f32>, WriteError>,
) -> Result<GradientVariance, WriteError> {
    let n = draws as f64;
    let tokens: usize = chunks.iter().map(|c| c.len()).sum();
    let mut overall: Vec<f64> = Vec::new();
    let (mut within, mut squared_means, mut noise_of_overall) = (0.0, 0.0, 0.0);
    for (i, chunk) in chunks.iter().enumerate() {
        let share = chunk.len() as f64 / tokens.max(1) as f64;
        let mut mean: Vec<f64> = Vec::new();
        let mut squares = 0.0;
        for draw in 0..draws {
            let gradient = gradient(i * draws + draw, chunk.clone())?;
            mean.resize(gradient.len(), 0.0);
            for (mean, &g) in mean.iter_mut().zip(&gradient) {
                *mean += f64::from(g) / n;
                squares += f64::from(g).powi(2) / n;
            }
        }
        let of_mean: f64 = mean.iter().map(|m| m * m).sum();
        // Of a sample: n / (n - 1) times that of its own mean.
        let variance = (squares - of_mean) * n / (n - 1.0);
        within += share * variance;
        // The mean of n draws is longer than the true one by its own variance.
        squared_means += share * (of_mean - variance / n);
        noise_of_overall += share * share * variance / n;
        overall.resize(mean.len(), 0.0);
        for (overall, mean) in overall.iter_mut().zip(&mean) {
            *overall += share * mean;
        }
    }
    let of_overall: f64 = overall.iter().map(|m| m * m).sum();
    let mean_squared = of_overall - noise_of_overall;
    Ok(GradientVariance {
        within,
        between: squared_means - mean_squared,
        mean_squared,
        draws,
        between_by_chance: 0.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::sampling::SpanSampler;

    /// Batches of 256 tokens by themselves, from chunks of as many and of four times as many.
    #[test]
    fn chunks_differ_by_chance_as_much_as_their_size_says() {
        let share = |chunk: usize, of_its_own: f32| {
            let chunks: Vec<Range<usize>> =
                (0..8).map(|i| i * chunk + 1..(i + 1) * chunk + 1).collect();
            let sampler = SpanSampler::new(3, 256, 1);
            let found = split(&chunks, 8, &mut |batch, range| {
                let own = range.start as f32;
                let spans = sampler.draw(batch as u64, range).expect("tokens");
                let mut gradient = chance_gradient(&spans.starts);
                gradient.push(own * of_its_own);
                Ok(gradient)
            });
            found.expect("gradients").share_between()
        };
        assert!((share(256, 0.0) - 0.5).abs() < 0.05, "{}", share(256, 0.0));
        assert!(
            (share(1024, 0.0) - 0.2).abs() < 0.05,
            "{}",
            share(1024, 0.0)
        );
        assert!(share(1024, 1.0) > 0.99);
    }
}
