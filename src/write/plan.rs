//! From settings and utilities to steps.

use std::ops::Range;

use super::allocate::{Allocation, Rule, allocate};
use super::error::WriteError;
use super::event::{ChunkSteps, ChunkUtility};
use super::settings::{Allocate, WriteSettings};

/// The steps of each chunk of a segment.
pub fn share_out(
    settings: &WriteSettings,
    chunks: &[ChunkUtility],
    budget: usize,
    segment: usize,
) -> Result<Vec<ChunkSteps>, WriteError> {
    let utilities: Vec<f64> = chunks
        .iter()
        .map(|chunk| match settings.allocate {
            Allocate::Signed => chunk.signed,
            _ => chunk.utility,
        })
        .collect();
    let rule = match settings.allocate {
        Allocate::Utility | Allocate::Signed => Rule::Utility,
        Allocate::Uniform | Allocate::Whole => Rule::Uniform,
        Allocate::Random => Rule::Random {
            seed: settings.seed.wrapping_add(segment as u64),
        },
        Allocate::Topk => Rule::TopK,
    };
    let allocation = Allocation {
        budget,
        k_min: settings.k_min,
        coverage: settings.coverage,
        tau: settings.tau,
        scale: settings.scale,
        rule,
    };
    allocate(&utilities, &allocation).map_err(|error| WriteError::Settings(error.to_string()))
}

/// A segment's part of the budget, by its tokens; the parts add up to the whole.
pub fn budget_of(budget: usize, segments: &[Range<usize>], index: usize) -> usize {
    let total = segments.last().map_or(1, |s| s.end).max(1);
    let upto = |token: usize| (budget as u128 * token as u128 / total as u128) as usize;
    upto(segments[index].end) - upto(segments[index].start)
}
