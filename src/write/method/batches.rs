//! Rows to learn from and to measure on, as methods draw them from a text.

use std::ops::Range;

use crate::model::train::{Batch, BatchKind};
use crate::write::learner::Segment;
use crate::write::sampling::SpanSampler;
use crate::write::settings::WriteSettings;

/// A segment as a learner sees it.
pub struct Text<'a> {
    /// The segment, with the tokens that open it.
    pub segment: &'a Segment,
    /// Settings of the run.
    pub settings: &'a WriteSettings,
    /// Rows of the memory that enter the model before the text.
    pub rows_before: usize,
}

impl Text<'_> {
    /// Spans of contiguous tokens, each seeing all of the document before it.
    pub fn spans(&self, step: usize, range: Range<usize>) -> Batch {
        let s = self.settings;
        let sampler = SpanSampler::new(s.seed, s.batch, s.span);
        let sampler = sampler.hold_out(self.segment.held_out.clone());
        let spans = sampler.draw(step as u64, range);
        let targets = spans.iter().flat_map(|spans| spans.targets()).flatten();
        self.frozen(&targets.collect::<Vec<_>>())
    }

    /// Rows that predict `targets` (tokens of the segment) from the frozen cache.
    pub fn frozen(&self, targets: &[usize]) -> Batch {
        let segment = self.segment;
        let at = |&t: &usize| segment.lead + t;
        let weight = 1.0 / targets.len().max(1) as f32;
        Batch {
            kind: BatchKind::Frozen,
            ids: targets.iter().map(|t| segment.ids[at(t) - 1]).collect(),
            positions: targets.iter().map(|t| at(t) as u32 - 1).collect(),
            targets: targets.iter().map(|t| segment.ids[at(t)]).collect(),
            weights: vec![weight; targets.len()],
        }
    }

    /// As many contiguous tokens as the spans of a step have, somewhere in `range`.
    pub fn sequence(&self, step: usize, range: Range<usize>) -> Batch {
        let s = self.settings;
        let len = s.batch.saturating_mul(s.span).min(range.len());
        if len == range.len() {
            return self.contiguous(range, true);
        }
        let spans = SpanSampler::new(s.seed, 1, len).draw(step as u64, range.clone());
        let targets = spans.and_then(|spans| spans.targets().next());
        self.contiguous(targets.unwrap_or(range), true)
    }

    /// All tokens of `range`, held out or not.
    pub fn whole(&self, range: Range<usize>) -> Batch {
        self.contiguous(range, false)
    }

    /// Tokens read by themselves, after the memory's rows where it has some, and after what opens
    /// every text. Those held out are not learned from.
    fn contiguous(&self, range: Range<usize>, learning: bool) -> Batch {
        let segment = self.segment;
        let (lead, body) = segment.ids.split_at(segment.lead);
        let read = [lead, &body[range.clone()]].concat();
        // Row r predicts what row r + 1 reads: prefix, lead, then the text.
        let opening = self.rows_before + lead.len();
        let rows = self.rows_before + read.len();
        let mut targets = vec![0; rows];
        let mut weights = vec![0.0; rows];
        for (i, token) in range.clone().enumerate() {
            let Some(row) = (opening + i).checked_sub(1) else {
                continue;
            };
            targets[row] = body[token];
            if !(learning && segment.holds_out(token)) {
                weights[row] = 1.0;
            }
        }
        let scored = weights.iter().filter(|&&w| w > 0.0).count();
        weights.iter_mut().for_each(|w| *w /= scored.max(1) as f32);
        Batch {
            kind: BatchKind::Sequence,
            ids: read,
            positions: Vec::new(),
            targets,
            weights,
        }
    }
}
