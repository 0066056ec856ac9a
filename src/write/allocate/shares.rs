//! The steps of every chunk, from a run's settings and utilities.

use super::{Allocation, Rule, allocate};
use crate::write::error::WriteError;
use crate::write::event::{ChunkSteps, ChunkUtility};
use crate::write::settings::{Allocate, WriteSettings};

/// The steps of each chunk of each segment. The chunks of all segments share the budget together:
/// where a document is cut says nothing of where its steps are worth most.
pub fn share_out(
    settings: &WriteSettings,
    segments: &[&[ChunkUtility]],
) -> Result<Vec<Vec<ChunkSteps>>, WriteError> {
    let chunks = segments.iter().flat_map(|segment| segment.iter());
    let utilities: Vec<f64> = chunks
        .map(|chunk| match settings.allocate {
            Allocate::Signed => chunk.signed,
            _ => chunk.utility,
        })
        .collect();
    let rule = match settings.allocate {
        Allocate::Utility | Allocate::Signed => Rule::Utility,
        Allocate::Uniform | Allocate::Whole => Rule::Uniform,
        Allocate::Random => Rule::Random {
            seed: settings.seed,
        },
        Allocate::Topk => Rule::TopK,
    };
    let allocation = Allocation {
        budget: settings.budget,
        k_min: settings.k_min,
        coverage: settings.coverage,
        tau: settings.tau,
        scale: settings.scale,
        rule,
    };
    let mut left = allocate(&utilities, &allocation)?.into_iter();
    let shares = segments
        .iter()
        .map(|s| left.by_ref().take(s.len()).collect());
    Ok(shares.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(utilities: &[f64]) -> Vec<ChunkUtility> {
        let chunk = |(i, &utility): (usize, &f64)| ChunkUtility {
            tokens: i * 8..(i + 1) * 8,
            text: 0..0,
            title: None,
            utility,
            signed: utility,
            surprisal: 1.0,
        };
        utilities.iter().enumerate().map(chunk).collect()
    }

    fn totals(settings: &WriteSettings, parts: &[Vec<ChunkUtility>]) -> Vec<Vec<u32>> {
        let parts: Vec<&[ChunkUtility]> = parts.iter().map(Vec::as_slice).collect();
        let shares = share_out(settings, &parts).unwrap();
        let totals = shares.iter().map(|s| s.iter().map(|c| c.total()).collect());
        totals.collect()
    }

    #[test]
    fn a_budget_below_coverage_goes_to_the_best_chunks_of_all_segments() {
        let parts = [segment(&[0.1, 0.9]), segment(&[0.2, 0.3, 0.8])];
        let mut settings = WriteSettings {
            budget: 2,
            ..WriteSettings::default()
        };
        assert_eq!(totals(&settings, &parts), [vec![0, 1], vec![0, 0, 1]]);
        settings.budget = 1;
        assert_eq!(totals(&settings, &parts), [vec![0, 1], vec![0, 0, 0]]);
    }

    #[test]
    fn where_the_document_is_cut_changes_no_share() {
        let all = [0.4, 1.9, 0.2, 0.7, 2.8, 0.1, 0.3];
        let settings = WriteSettings {
            budget: 40,
            ..WriteSettings::default()
        };
        let whole = totals(&settings, &[segment(&all)]).concat();
        assert_eq!(whole.iter().sum::<u32>(), 40);
        for cut in 1..all.len() {
            let (left, right) = all.split_at(cut);
            let parts = totals(&settings, &[segment(left), segment(right)]);
            assert_eq!(parts.concat(), whole);
        }
    }
}
