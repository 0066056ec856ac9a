//! In which order the steps are taken.

use super::event::{ChunkSteps, StepKind};

/// A step's chunk, and why it was given to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Number of the chunk, from 0.
    pub chunk: usize,
    /// Why the step is given to the chunk.
    pub kind: StepKind,
}

/// Coverage first, in the document's order; then utility steps, spread evenly: at every moment
/// each chunk has had its share of them to within one step (smooth weighted round robin), so that
/// no chunk's steps are all followed by another's.
pub fn schedule(steps: &[ChunkSteps]) -> Vec<Planned> {
    let mut planned = Vec::new();
    let rounds = steps.iter().map(|s| s.coverage).max().unwrap_or(0);
    for round in 0..rounds {
        let covered = steps.iter().enumerate().filter(|(_, s)| s.coverage > round);
        planned.extend(covered.map(|(chunk, _)| Planned {
            chunk,
            kind: StepKind::Coverage,
        }));
    }
    let total: i64 = steps.iter().map(|s| i64::from(s.utility)).sum();
    let mut credit = vec![0i64; steps.len()];
    for _ in 0..total {
        for (credit, steps) in credit.iter_mut().zip(steps) {
            *credit += i64::from(steps.utility);
        }
        let Some(chunk) = (0..steps.len()).max_by_key(|&i| (credit[i], std::cmp::Reverse(i)))
        else {
            break;
        };
        credit[chunk] -= total;
        planned.push(Planned {
            chunk,
            kind: StepKind::Utility,
        });
    }
    planned
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_step_is_planned_and_spread(
            counts in prop::collection::vec((0u32..3, 0u32..20), 0..30),
        ) {
            let steps: Vec<ChunkSteps> =
                counts.iter().map(|&(coverage, utility)| ChunkSteps { coverage, utility }).collect();
            let planned = schedule(&steps);
            let (covering, useful): (Vec<_>, Vec<_>) =
                planned.iter().partition(|p| p.kind == StepKind::Coverage);
            prop_assert!(planned[..covering.len()].iter().all(|p| p.kind == StepKind::Coverage));
            for (chunk, steps) in steps.iter().enumerate() {
                let count = |of: &[Planned]| of.iter().filter(|p| p.chunk == chunk).count() as u32;
                prop_assert_eq!(count(&covering), steps.coverage);
                prop_assert_eq!(count(&useful), steps.utility);
                // Halfway a chunk has had about half of its steps.
                let half = count(&useful[..useful.len() / 2]);
                prop_assert!(half.abs_diff(steps.utility / 2) <= 1 + counts.len() as u32 / 4);
            }
        }
    }
}
