//! What a person should know of how the steps were shared out.

use super::super::settings::{Allocate, UtilityScale};
use super::RunRecord;
use crate::words::{count, counted};

/// Below it, in nats, utilities are rounding errors.
const LEAST_UTILITY: f64 = 1e-3;

impl RunRecord {
    /// Empty until the steps of all chunks are known: by a rule that measures nothing, and in a
    /// document of several parts, that is when the last part is reached.
    pub fn remarks(&self) -> Vec<String> {
        let Some(settings) = &self.settings else {
            return Vec::new();
        };
        let chunks = self.chunks().count();
        let planned = |most: usize| {
            let totals = self
                .chunks()
                .map(|(_, chunk)| chunk.planned.total() as usize);
            totals.filter(|&steps| steps < most).count()
        };
        let shared: usize = self.chunks().map(|(_, c)| c.planned.total() as usize).sum();
        let known = self.segments.iter().all(|part| !part.chunks.is_empty());
        if chunks < 2 || !known || shared == 0 || shared != settings.budget {
            return Vec::new();
        }
        let mut remarks = Vec::new();
        let covers = settings.coverage && settings.allocate != Allocate::Whole;
        if covers && settings.k_min > 0 && planned(settings.k_min) > 0 {
            let (none, fewer) = (planned(1), planned(settings.k_min));
            let left = match none {
                0 => format!("fewer are left for {}", count(fewer)),
                none => format!("none is left for {}", count(none)),
            };
            remarks.push(format!(
                "{} for {} with {} each at least: {left}; a larger budget or larger chunks reach all",
                counted(settings.budget, "step"),
                counted(chunks, "chunk"),
                settings.k_min,
            ));
        }
        let by_utility = matches!(settings.allocate, Allocate::Utility | Allocate::Signed);
        let rest: usize = self.chunks().map(|(_, c)| c.planned.utility as usize).sum();
        if covers && by_utility && remarks.is_empty() && rest > 0 && 4 * rest <= shared {
            remarks.push(format!(
                "{} of {} go to every chunk alike, and utility decides over {}; a larger budget \
                 leaves it more",
                count(shared - rest),
                counted(shared, "step"),
                count(rest)
            ));
        }
        // Ranks and z-scores tell chunks apart by the least.
        let by_softmax = by_utility && settings.scale == UtilityScale::Raw;
        let highest = self.chunks().filter_map(|(_, chunk)| chunk.utility);
        let highest = highest.fold(0.0, f64::max);
        if by_softmax && highest < LEAST_UTILITY * settings.tau.min(1.0) {
            remarks.push(format!(
                "no chunk needs more context than the {} nearest tokens, so that utility does not \
                 tell them apart; a smaller window may",
                settings.window
            ));
        }
        remarks
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ChunkRecord, SegmentRecord};
    use super::*;
    use crate::write::event::ChunkSteps;
    use crate::write::settings::WriteSettings;

    fn run(budget: usize, steps: &[u32], utility: f64) -> RunRecord {
        let chunk = |&steps: &u32| ChunkRecord {
            utility: Some(utility),
            planned: ChunkSteps {
                coverage: steps,
                utility: 0,
            },
            ..ChunkRecord::default()
        };
        RunRecord {
            settings: Some(WriteSettings {
                budget,
                ..WriteSettings::default()
            }),
            segments: vec![SegmentRecord {
                chunks: steps.iter().map(chunk).collect(),
                ..SegmentRecord::default()
            }],
            ..RunRecord::default()
        }
    }

    #[test]
    fn a_budget_that_does_not_reach_every_chunk_is_told_of() {
        let told = run(2, &[1, 0, 1, 0, 0], 0.5).remarks().join("");
        assert!(
            told.starts_with("2 steps for 5 chunks with 1 each at least: none is left for 3"),
            "{told}"
        );
        assert!(run(6, &[2, 1, 1, 1, 1], 0.5).remarks().is_empty());
        let mut twice = run(7, &[2, 2, 1, 1, 1], 0.5);
        let settings = twice.settings.as_mut().unwrap();
        settings.k_min = 2;
        settings.allocate = Allocate::Uniform;
        let told = twice.remarks().join("");
        assert!(
            told.contains("with 2 each at least: fewer are left for 3"),
            "{told}"
        );
        twice.settings.as_mut().unwrap().coverage = false;
        assert!(twice.remarks().is_empty());
        assert!(
            run(2, &[0, 0, 0, 0, 0], 0.5).remarks().is_empty(),
            "not shared out yet"
        );
    }

    #[test]
    fn utilities_that_tell_nothing_are_told_of() {
        let told = run(3, &[1, 1, 1], 1e-6).remarks().join("");
        assert!(told.contains("the 256 nearest tokens"), "{told}");
        let mut ranked = run(3, &[3, 0, 0], 1e-6);
        let settings = ranked.settings.as_mut().unwrap();
        settings.scale = UtilityScale::Zscore;
        settings.coverage = false;
        assert!(ranked.remarks().is_empty());
        assert!(
            run(3, &[3], 0.0).remarks().is_empty(),
            "one chunk gets all in any case"
        );
    }
}
