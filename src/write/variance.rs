//! How much of a step's gradient noise comes from not knowing which chunk it was drawn from.
//!
//! The law of total variance, for gradients of batches drawn from the whole document:
//! `Var(g) = E_c[Var(g | c)] + Var_c(E[g | c])`. Steps that stay within a chunk have only the
//! first term.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::error::WriteError;
use super::learn::Learner;

/// The two parts, summed over all numbers that are trained. Chunks count by their tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradientVariance {
    /// Mean over the chunks of the variance within each.
    pub within: f64,
    /// Variance of the chunks' mean gradients.
    pub between: f64,
    /// `|E[g]|^2`, to hold the noise against.
    pub mean_squared: f64,
    /// Batches drawn from each chunk.
    pub draws: usize,
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
    learner: &mut Learner<'_>,
    chunks: &[Range<usize>],
    draws: usize,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<GradientVariance, WriteError> {
    let draws = draws.max(2);
    let n = draws as f64;
    let tokens: usize = chunks.iter().map(|c| c.len()).sum();
    let mut overall: Vec<f64> = Vec::new();
    let (mut within, mut squared_means, mut noise_of_overall) = (0.0, 0.0, 0.0);
    for (i, chunk) in chunks.iter().enumerate() {
        let share = chunk.len() as f64 / tokens.max(1) as f64;
        let mut mean: Vec<f64> = Vec::new();
        let mut squares = 0.0;
        for draw in 0..draws {
            let gradient = learner.gradient(i * draws + draw, chunk.clone())?;
            mean.resize(gradient.len(), 0.0);
            for (mean, &g) in mean.iter_mut().zip(&gradient) {
                *mean += f64::from(g) / n;
                squares += f64::from(g).powi(2) / n;
            }
            progress(i * draws + draw + 1, chunks.len() * draws);
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
    })
}
