//! How a document is cut into segments, and which steps count of a run that is finished early.

use std::ops::Range;

use super::survey::Share;
use crate::write::event::{ChunkSteps, StepKind};
use crate::write::reader::question_room;
use crate::write::sampling::choose_held_out;
use crate::write::schedule::schedule;
use crate::write::settings::WriteSettings;

/// Reduces the shares to the first `taken` steps.
pub(super) fn take_no_more(shares: &mut [Share], taken: usize) {
    let mut left = taken;
    for share in shares {
        let planned = schedule(&share.steps);
        let had = &planned[..left.min(planned.len())];
        left -= had.len();
        share.steps = vec![ChunkSteps::default(); share.steps.len()];
        for step in had {
            let Some(steps) = share.steps.get_mut(step.chunk) else {
                continue;
            };
            match step.kind {
                StepKind::Coverage => steps.coverage += 1,
                StepKind::Utility => steps.utility += 1,
            }
        }
    }
}

/// Document tokens that fit the context beside what opens the text and what the reader needs.
pub(super) fn room(context: usize, lead: usize, settings: &WriteSettings) -> usize {
    let memory = settings.method.positions(settings);
    context.saturating_sub(lead + question_room(context) + memory)
}

/// Ranges of tokens of nearly equal length, each at most `room`.
pub(super) fn segments(tokens: usize, room: usize) -> Vec<Range<usize>> {
    let count = tokens.div_ceil(room).max(1);
    (0..count)
        .map(|i| tokens * i / count..tokens * (i + 1) / count)
        .collect()
}

/// Tokens kept out of learning, the same however the document is cut into chunks.
pub(super) fn held_out(settings: &WriteSettings, tokens: usize) -> Vec<Range<usize>> {
    let parts: Vec<Range<usize>> = (0..tokens)
        .step_by(HELD_OUT_WITHIN)
        .map(|start| start..tokens.min(start + HELD_OUT_WITHIN))
        .collect();
    choose_held_out(&parts, settings.held_out, HELD_OUT_RUN, settings.seed)
}

/// Number of neighbouring tokens that are held out together, since neighbours reveal each other.
const HELD_OUT_RUN: usize = 32;
/// Number of tokens within which such runs are chosen: each stretch of this length has its share.
const HELD_OUT_WITHIN: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_run_that_is_finished_early_keeps_the_steps_it_took() {
        let chunk = |coverage, utility| ChunkSteps { coverage, utility };
        let share = |steps: &[ChunkSteps]| Share {
            steps: steps.to_vec(),
            reading: None,
        };
        let mut shares = [
            share(&[chunk(1, 2), chunk(1, 0)]),
            share(&[chunk(1, 1), chunk(0, 3)]),
            share(&[chunk(1, 4)]),
        ];
        take_no_more(&mut shares, 6);
        let totals: Vec<usize> = shares.iter().map(Share::total).collect();
        assert_eq!(totals, [4, 2, 0]);
        assert_eq!(shares[0].steps, [chunk(1, 2), chunk(1, 0)]);
        assert_eq!(shares[1].steps[0].coverage, 1, "coverage comes first");
    }

    proptest! {
        #[test]
        fn segments_cover_the_document(tokens in 1usize..100_000, room in 1usize..9000) {
            let all = segments(tokens, room);
            prop_assert_eq!(all[0].start, 0);
            prop_assert_eq!(all.last().unwrap().end, tokens);
            prop_assert!(all.windows(2).all(|w| w[0].end == w[1].start));
            prop_assert!(all.iter().all(|s| !s.is_empty() && s.len() <= room));
        }
    }
}
