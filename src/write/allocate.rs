//! Which chunk gets how many gradient steps: coverage first, the rest by the softmax of utility
//! (GDWM, arXiv 2601.12906).
//!
//! A pure function of its input, quick enough to run again at every move of a slider.

mod shares;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::event::ChunkSteps;
use super::setting::Setting;
use super::setting_error::{SettingError, SettingProblem};
use super::settings::UtilityScale;
use crate::model::draws::{below, generator};

pub use shares::share_out;

/// Everything but the utilities that an allocation depends on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Allocation {
    /// Steps in all (K).
    pub budget: usize,
    /// Steps that every chunk gets first.
    pub k_min: usize,
    /// Whether every chunk gets `k_min` steps first.
    pub coverage: bool,
    /// Temperature of the softmax: 0 gives all to the highest, infinity gives all the same.
    pub tau: f64,
    /// How utilities are scaled before the softmax.
    pub scale: UtilityScale,
    /// How the steps beyond coverage are shared.
    pub rule: Rule,
}

/// How the steps beyond coverage are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// In proportion to the softmax of the utilities; also of signed ones.
    Utility,
    /// The same to every chunk, to within one step.
    Uniform,
    /// Each step to a chunk drawn by itself.
    Random {
        /// Seed of the draws.
        seed: u64,
    },
    /// Evenly to the `TOP_SHARE` of highest utility.
    TopK,
}

/// Why there is no allocation.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum AllocationError {
    /// The document has no chunk.
    #[error("there is no chunk to give {budget} steps to: the document is empty")]
    NoChunks {
        /// Steps that were to be shared.
        budget: usize,
    },
    /// A chunk's utility is infinite or not a number.
    #[error("the utility of chunk {chunk} is {value}: the surprisals it comes from are damaged")]
    UtilityNotFinite {
        /// The chunk's number in the document, from 0.
        chunk: usize,
        /// The utility, in nats a token.
        value: f64,
    },
    /// A setting that the allocation cannot work with.
    #[error(transparent)]
    Setting(#[from] SettingError),
}

/// The part of the chunks that `Rule::TopK` gives its steps to: the highest quarter.
pub const TOP_SHARE: f64 = 0.25;

/// The steps of each chunk. They add up to `budget` exactly.
///
/// With coverage, `k_c = k_min + round((K - M k_min) softmax(U / tau)_c)`, rounded by largest
/// remainders. A budget below `M k_min` goes round by round, one step a chunk, and the last round
/// to the chunks that `rule` puts first. Equal chunks are served in the document's order.
pub fn allocate(utilities: &[f64], input: &Allocation) -> Result<Vec<ChunkSteps>, AllocationError> {
    check(utilities, input)?;
    let chunks = utilities.len();
    if chunks == 0 {
        return Ok(Vec::new());
    }
    let budget = input.budget as u64;
    let wanted = if input.coverage {
        (input.k_min as u64).saturating_mul(chunks as u64)
    } else {
        0
    };
    let coverage = if wanted <= budget {
        vec![
            if input.coverage {
                input.k_min as u32
            } else {
                0
            };
            chunks
        ]
    } else {
        short_coverage(utilities, input)
    };
    let rest = budget.saturating_sub(wanted);
    let utility = match input.rule {
        Rule::Utility => {
            let weights = softmax(&scaled(utilities, input.scale), input.tau);
            apportion(&weights, ranked(utilities), rest)
        }
        Rule::Uniform => evenly(chunks, rest),
        Rule::Random { seed } => at_random(chunks, rest, seed),
        Rule::TopK => {
            let best = ((chunks as f64 * TOP_SHARE).ceil() as usize).max(1);
            let shares = evenly_from_first(best, rest);
            let mut steps = vec![0; chunks];
            for (chunk, share) in ranked(utilities).into_iter().zip(shares) {
                steps[chunk] = share;
            }
            steps
        }
    };
    let steps = coverage.into_iter().zip(utility);
    Ok(steps
        .map(|(coverage, utility)| ChunkSteps { coverage, utility })
        .collect())
}

fn check(utilities: &[f64], input: &Allocation) -> Result<(), AllocationError> {
    let Allocation { budget, tau, .. } = *input;
    Setting::Budget.between(budget, 0..=u32::MAX as usize)?;
    if tau.is_nan() || tau < 0.0 {
        let (given, least) = (tau, 0.0);
        let problem = SettingProblem::NotAtLeast { given, least };
        return Err(Setting::Tau.wrong(problem).into());
    }
    if utilities.is_empty() && budget > 0 {
        return Err(AllocationError::NoChunks { budget });
    }
    let broken = utilities.iter().position(|u| !u.is_finite());
    match broken {
        None => Ok(()),
        Some(chunk) => Err(AllocationError::UtilityNotFinite {
            chunk,
            value: utilities[chunk],
        }),
    }
}

/// Coverage for which the budget is too small.
fn short_coverage(utilities: &[f64], input: &Allocation) -> Vec<u32> {
    let chunks = utilities.len();
    let (rounds, last) = (input.budget / chunks, input.budget % chunks);
    let mut steps = vec![rounds as u32; chunks];
    match input.rule {
        Rule::Uniform => {
            for (steps, more) in steps.iter_mut().zip(evenly(chunks, last as u64)) {
                *steps += more;
            }
        }
        Rule::Random { seed } => {
            // The first draws of a Fisher-Yates shuffle.
            let mut order: Vec<usize> = (0..chunks).collect();
            let mut random = generator(seed, 0);
            for at in 0..last {
                order.swap(at, at + below(&mut random, (chunks - at) as u64) as usize);
                steps[order[at]] += 1;
            }
        }
        Rule::Utility | Rule::TopK => {
            for chunk in ranked(utilities).into_iter().take(last) {
                steps[chunk] += 1;
            }
        }
    }
    steps
}

/// Chunks by falling utility, equal ones in order.
fn ranked(utilities: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..utilities.len()).collect();
    // `-0.0` and `0.0` are equal utilities, so `total_cmp` would not do.
    order.sort_by(|&a, &b| {
        let order = utilities[b].partial_cmp(&utilities[a]);
        order.unwrap_or(std::cmp::Ordering::Equal)
    });
    order
}

fn scaled(utilities: &[f64], scale: UtilityScale) -> Vec<f64> {
    if scale == UtilityScale::Raw {
        return utilities.to_vec();
    }
    // Divided by the largest first, so that no square overflows or vanishes.
    let largest = utilities.iter().fold(0.0, |m: f64, u| m.max(u.abs()));
    if largest == 0.0 {
        return vec![0.0; utilities.len()];
    }
    let small: Vec<f64> = utilities.iter().map(|u| u / largest).collect();
    let count = small.len() as f64;
    let mean = small.iter().sum::<f64>() / count;
    let variance = small.iter().map(|u| (u - mean).powi(2)).sum::<f64>() / count;
    let deviation = variance.sqrt();
    // Equal utilities differ from their mean by rounding alone; that is not a deviation.
    if deviation <= 4.0 * f64::EPSILON {
        return vec![0.0; utilities.len()];
    }
    small.iter().map(|u| (u - mean) / deviation).collect()
}

/// Proportional to the softmax: the highest weighs 1.
fn softmax(utilities: &[f64], tau: f64) -> Vec<f64> {
    let highest = utilities.iter().fold(f64::NEG_INFINITY, |m, &u| m.max(u));
    let weight = |&u: &f64| {
        if u == highest || tau == f64::INFINITY {
            1.0
        } else if tau >= 1.0 {
            // Divided apart, since the difference may overflow.
            (u / tau - highest / tau).exp()
        } else {
            ((u - highest) / tau).exp()
        }
    };
    utilities.iter().map(weight).collect()
}

/// `total` shared in proportion to `weights`: whole parts first, then one each by falling remainder
/// (Hamilton's method), equal ones in the order that `order` gives.
fn apportion(weights: &[f64], mut order: Vec<usize>, total: u64) -> Vec<u32> {
    let sum: f64 = weights.iter().sum();
    let quotas: Vec<f64> = weights.iter().map(|w| total as f64 * (w / sum)).collect();
    let mut shares: Vec<u64> = quotas.iter().map(|q| q.floor() as u64).collect();
    order.sort_by(|&a, &b| {
        let (remainder_a, remainder_b) = (quotas[a].fract(), quotas[b].fract());
        let by_remainder = remainder_b.total_cmp(&remainder_a);
        by_remainder.then(quotas[b].total_cmp(&quotas[a]))
    });
    let given: u64 = shares.iter().sum();
    if given <= total {
        // Fewer than there are chunks, but for rounding.
        for &chunk in order.iter().cycle().take((total - given) as usize) {
            shares[chunk] += 1;
        }
    } else {
        // Rounding made quotas whole that were a hair less.
        let mut excess = given - total;
        for &chunk in order.iter().rev().cycle() {
            if excess == 0 {
                break;
            }
            if shares[chunk] > 0 {
                shares[chunk] -= 1;
                excess -= 1;
            }
        }
    }
    shares.into_iter().map(|share| share as u32).collect()
}

/// `total` spread over the document: what does not divide goes to chunks at even distances.
fn evenly(chunks: usize, total: u64) -> Vec<u32> {
    let upto = |chunk: usize| chunk as u128 * total as u128 / chunks as u128;
    let share = |chunk| (upto(chunk + 1) - upto(chunk)) as u32;
    (0..chunks).map(share).collect()
}

/// `total` over `count`, the first of them getting what does not divide.
fn evenly_from_first(count: usize, total: u64) -> impl Iterator<Item = u32> {
    let (each, more) = (total / count as u64, total % count as u64);
    (0..count as u64).map(move |at| (each + u64::from(at < more)) as u32)
}

/// Each step to a chunk drawn by itself.
fn at_random(chunks: usize, total: u64, seed: u64) -> Vec<u32> {
    // A budget of billions is drawn in lots, so that it takes no longer than a million steps.
    const DRAWS: u64 = 1 << 20;
    let (lot, more) = (total / DRAWS, total % DRAWS);
    let mut random = generator(seed, 1);
    let mut steps = vec![0u32; chunks];
    for draw in 0..total.min(DRAWS) {
        let count = lot + u64::from(draw < more);
        steps[below(&mut random, chunks as u64) as usize] += count as u32;
    }
    steps
}

#[cfg(test)]
mod tests;
