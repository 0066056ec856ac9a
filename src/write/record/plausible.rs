//! Which events a run can have told: numbers of a damaged file must not make room for what nobody
//! announced.

use crate::write::event::{Event, Started, Step};

use super::RunRecord;

/// The most parts that are made room for where none were announced, and the most that can be: no
/// document has as many segments, and no segment as many chunks.
const MOST_PARTS: usize = 1 << 16;

/// The most steps that a chunk gets of each kind: sums of them stay within their types.
const MOST_STEPS: u32 = 1 << 24;
/// The most that anything of a step is counted to.
const MOST_COUNTED: usize = 1 << 40;

impl RunRecord {
    /// Why `event` cannot follow those so far, if it cannot.
    pub(super) fn fault(&self, event: &Event) -> Option<String> {
        match event {
            Event::Started(started) => segments_fault(started),
            Event::SegmentStarted {
                segment, tokens, ..
            } => self
                .segment_fault(*segment)
                .or_else(|| self.tokens_fault(*tokens)),
            Event::Prefilled {
                segment, tokens, ..
            } => self
                .segment_fault(*segment)
                .or_else(|| self.tokens_fault(*tokens)),
            Event::LocallyRead { segment, .. } | Event::Utility { segment, .. } => {
                self.segment_fault(*segment)
            }
            Event::Allocated { segment, steps } => self.segment_fault(*segment).or_else(|| {
                let counts = steps.iter().flat_map(|s| [s.coverage, s.utility]);
                let most = counts.max().filter(|&most| most > MOST_STEPS)?;
                Some(format!("{most} steps of a chunk"))
            }),
            Event::Evaluated(evaluated) => self.segment_fault(evaluated.segment),
            Event::Step(step) => self
                .segment_fault(step.segment)
                .or_else(|| self.chunk_fault(step.segment, step.chunk?))
                .or_else(|| step_fault(step)),
            Event::ChunkDone { segment, chunk } => self
                .segment_fault(*segment)
                .or_else(|| self.chunk_fault(*segment, *chunk)),
            Event::Progress { .. }
            | Event::Checkpointed { .. }
            | Event::Paused
            | Event::Resumed { .. }
            | Event::Done(_) => None,
        }
    }

    fn segment_fault(&self, segment: usize) -> Option<String> {
        let all = match self.document {
            Some(_) => self.segments.len().max(1),
            None => MOST_PARTS,
        };
        (segment >= all).then(|| format!("segment {segment} of {all}"))
    }

    fn chunk_fault(&self, segment: usize, chunk: usize) -> Option<String> {
        let known = self.segments.get(segment).map_or(0, |s| s.chunks.len());
        let all = if known > 0 { known } else { MOST_PARTS };
        (chunk >= all).then(|| format!("chunk {chunk} of {all}"))
    }

    fn tokens_fault(&self, tokens: usize) -> Option<String> {
        let all = self.document.as_ref()?.tokens;
        (tokens > all).then(|| format!("a segment of {tokens} tokens in a document of {all}"))
    }
}

fn step_fault(step: &Step) -> Option<String> {
    let Step {
        step, of, tokens, ..
    } = step;
    let absurd = [step, of, tokens].into_iter().any(|&n| n > MOST_COUNTED);
    absurd.then(|| format!("step {step} of {of}, over {tokens} tokens"))
}

fn segments_fault(started: &Started) -> Option<String> {
    let (segments, tokens) = (started.segments, started.document.tokens);
    let most = tokens.clamp(1, MOST_PARTS);
    (segments > most).then(|| format!("{segments} segments of a document of {tokens} tokens"))
}
