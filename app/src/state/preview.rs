//! The steps that the settings would give each chunk, worked out at every move of a slider and
//! without running anything.

use inscribe::write::allocate::share_out;
use inscribe::write::event::{ChunkSteps, ChunkUtility};
use inscribe::write::record::{ChunkRecord, RunRecord};
use inscribe::write::settings::{Allocate, WriteSettings};

use crate::trouble::capital;

/// Planned steps of each chunk of each segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preview {
    pub steps: Vec<Vec<ChunkSteps>>,
    /// Why there are no planned steps, where that is so.
    pub problem: Option<String>,
    /// What the steps were worked out from.
    made_of: Option<(u64, WriteSettings)>,
}

impl Preview {
    /// Works it out again where the run or the settings have changed.
    pub fn refresh(&mut self, record: &RunRecord, version: u64, settings: &WriteSettings) {
        let same = |(of, with): &(u64, WriteSettings)| *of == version && with == settings;
        if self.made_of.as_ref().is_some_and(same) {
            return;
        }
        *self = Preview {
            made_of: Some((version, settings.clone())),
            ..preview(record, settings)
        };
    }

    pub fn total(&self) -> u64 {
        let steps = self.steps.iter().flatten();
        steps.map(|s| u64::from(s.total())).sum()
    }
}

fn preview(record: &RunRecord, settings: &WriteSettings) -> Preview {
    let nothing = Preview::default();
    let known = |c: &ChunkRecord| c.utility.is_some();
    let segments = &record.segments;
    if segments.is_empty()
        || !segments
            .iter()
            .all(|s| !s.chunks.is_empty() && s.chunks.iter().all(known))
    {
        return nothing;
    }
    if let Err(problem) = settings.check() {
        return Preview {
            problem: Some(capital(&problem.to_string())),
            ..nothing
        };
    }
    let measured = record.settings.as_ref();
    let without = measured.is_some_and(|s| !s.allocate.needs_utility());
    if without && settings.allocate.needs_utility() {
        let problem = "Utilities are not measured yet: read the document again.".to_owned();
        return Preview {
            problem: Some(problem),
            ..nothing
        };
    }
    let utilities = segments
        .iter()
        .map(|segment| segment.chunks.iter().map(utility_of).collect());
    let utilities: Vec<Vec<ChunkUtility>> = utilities.collect();
    let parts: Vec<&[ChunkUtility]> = utilities.iter().map(Vec::as_slice).collect();
    match share_out(settings, &parts) {
        Ok(steps) => Preview { steps, ..nothing },
        Err(error) => Preview {
            problem: Some(capital(&error.to_string())),
            ..nothing
        },
    }
}

/// Whole-document steps belong to no chunk.
pub fn shows_chunks(settings: &WriteSettings) -> bool {
    settings.allocate != Allocate::Whole
}

fn utility_of(chunk: &ChunkRecord) -> ChunkUtility {
    ChunkUtility {
        tokens: chunk.tokens.clone(),
        text: chunk.text.clone(),
        title: None,
        utility: chunk.utility.unwrap_or(0.0),
        signed: chunk.signed.unwrap_or(0.0),
        surprisal: chunk.surprisal.unwrap_or(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inscribe::write::synthetic::{Invented, events};

    #[test]
    fn the_preview_is_what_the_run_would_plan() {
        for context in [32_768, 5000] {
            let run = Invented {
                context,
                ..Invented::default()
            };
            let record = RunRecord::from_events(&events(&run));
            let mut preview = Preview::default();
            let mut settings = record.settings.clone().expect("started");
            preview.refresh(&record, 1, &settings);
            assert_eq!(preview.problem, None);
            assert_eq!(preview.total(), 48);
            settings.budget = 200;
            settings.tau = 0.2;
            preview.refresh(&record, 1, &settings);
            assert_eq!(preview.total(), 200);
            let sharp = preview.steps.iter().flatten().map(|s| s.total()).max();
            settings.tau = 50.0;
            preview.refresh(&record, 1, &settings);
            let flat = preview.steps.iter().flatten().map(|s| s.total()).max();
            assert!(sharp > flat, "{sharp:?} {flat:?}");
            settings.tau = -1.0;
            preview.refresh(&record, 1, &settings);
            assert!(preview.problem.is_some() && preview.steps.is_empty());
        }
    }
}
