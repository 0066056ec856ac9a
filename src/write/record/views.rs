//! What views ask of a record.

use std::ops::Range;

use super::{ChunkRecord, RunRecord, SegmentRecord, Status, StepRecord, smooth};
use crate::write::chart;
use crate::write::event::{Phase, PhaseSeconds, Step};

/// Steps over which speeds and the time left are taken.
const RECENT: usize = 16;

/// The least that views give their whole scale of colours to, in nats: what lies far below it is no
/// utility worth a strong colour.
const LEAST_SCALE: f64 = 0.1;

/// How far the loss of a step's tokens is below what it was before any step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// The step's loss less that before, in nats a token.
    pub change: f64,
    /// Mean of the changes so far, in which each counts less the older it is.
    pub smoothed: f64,
}

impl RunRecord {
    /// All chunks in the order of the document, with their segments.
    pub fn chunks(&self) -> impl Iterator<Item = (usize, &ChunkRecord)> {
        let parts = self.segments.iter().enumerate();
        parts.flat_map(|(segment, part)| part.chunks.iter().map(move |chunk| (segment, chunk)))
    }

    /// Tokens of the document, as far as they are known.
    pub fn tokens(&self) -> usize {
        let tokens = self.segments.iter().map(|s| s.tokens);
        let read = tokens.fold(0, usize::saturating_add);
        self.document.as_ref().map_or(read, |d| d.tokens.max(read))
    }

    /// Steps that all segments are to take.
    pub fn steps_to_take(&self) -> usize {
        let planned = self.chunks().map(|(_, c)| c.planned.total() as usize).sum();
        let budget = self.settings.as_ref().map_or(0, |s| s.budget);
        let least = self.steps.len();
        self.steps_planned
            .or(Some(planned).filter(|&p| p > 0 && self.segments.len() <= 1))
            .unwrap_or(budget)
            .max(least)
    }

    /// Where the time went: what the writer measured, or else the sum of what it reported so far,
    /// as for a run that was stopped and resumed, of which the writer measured the last part only.
    pub fn seconds(&self) -> PhaseSeconds {
        let sum = |of: fn(&SegmentRecord) -> f64| self.segments.iter().map(of).sum();
        let steps = self.steps.iter().map(|s| s.step.seconds).sum();
        let measured = self.measured.filter(|m| m.steps >= 0.99 * steps);
        measured.unwrap_or(PhaseSeconds {
            prefill: sum(|s| s.prefill_secs),
            local: sum(|s| s.local_secs),
            evaluate: sum(|s| s.evaluate_before_secs + s.evaluate_after_secs),
            steps,
            save: 0.0,
        })
    }

    /// Tokens read a second while prefilling.
    pub fn prefill_rate(&self) -> Option<f64> {
        let read = self.segments.iter().filter(|s| s.prefill_secs > 0.0);
        rate(read.map(|s| (s.tokens, s.prefill_secs)))
    }

    /// Tokens learned from a second, over the latest steps.
    pub fn step_rate(&self) -> Option<f64> {
        rate(self.recent().map(|s| (s.step.tokens, s.step.seconds)))
    }

    /// Tokens learned from a second, over all steps.
    pub fn mean_step_rate(&self) -> Option<f64> {
        rate(self.steps.iter().map(|s| (s.step.tokens, s.step.seconds)))
    }

    fn recent(&self) -> impl Iterator<Item = &StepRecord> {
        self.steps.iter().rev().take(RECENT)
    }

    /// Seconds that the steps still to take and the last evaluation will need, once a step has
    /// shown how long one takes. Segments not read yet are counted as the ones before them.
    pub fn seconds_left(&self) -> Option<f64> {
        if self.status == Status::Done {
            return Some(0.0);
        }
        let count = self.recent().count();
        if count == 0 {
            return None;
        }
        let each = self.recent().map(|s| s.step.seconds).sum::<f64>() / count as f64;
        let steps = self.steps_to_take().saturating_sub(self.steps.len());
        let read = self.segments.iter().filter(|s| s.prefill_secs > 0.0);
        let reading = |s: &SegmentRecord| s.prefill_secs + s.local_secs + s.evaluate_before_secs;
        let unread = self.segments.len() - read.clone().count();
        let mean_reading = read.clone().map(reading).sum::<f64>() / read.count().max(1) as f64;
        // Where nothing was evaluated before, the last evaluation takes about as long as a reading.
        let evaluates = self.settings.as_ref().is_none_or(|s| s.evaluate);
        let evaluating = self.segments.iter().enumerate().map(|(at, s)| {
            if !evaluates || s.chunks.iter().all(|c| c.planned.total() == 0) {
                return 0.0;
            }
            match (s.evaluate_after_secs > 0.0, s.evaluate_before_secs > 0.0) {
                (true, _) => 0.0,
                (false, true) => s.evaluate_before_secs * self.unmeasured(at),
                (false, false) => s.prefill_secs * self.unmeasured(at),
            }
        });
        Some(each * steps as f64 + mean_reading * unread as f64 + evaluating.sum::<f64>())
    }

    /// The part of a segment that is still to be measured after its steps.
    fn unmeasured(&self, segment: usize) -> f64 {
        let now = self.progress.filter(|now| now.phase == Phase::Evaluate);
        match now.filter(|now| now.segment == segment && now.total > 0) {
            Some(now) => 1.0 - (now.done as f64 / now.total as f64).clamp(0.0, 1.0),
            None => 1.0,
        }
    }

    /// The mean loss of the chunks before the steps, each as heavy as its tokens.
    pub fn loss_before(&self) -> Option<f64> {
        self.mean_loss(|c| c.loss_before)
    }

    /// The mean loss of the chunks after the steps, each as heavy as its tokens.
    pub fn loss_after(&self) -> Option<f64> {
        self.mean_loss(|c| c.loss_after)
    }

    /// As [`Self::loss_before`], over the tokens that no step learns from.
    pub fn held_out_before(&self) -> Option<f64> {
        self.mean_loss(|c| c.held_out_before)
    }

    /// As [`Self::loss_after`], over the tokens that no step learns from.
    pub fn held_out_after(&self) -> Option<f64> {
        self.mean_loss(|c| c.held_out_after)
    }

    fn mean_loss(&self, loss: fn(&ChunkRecord) -> Option<f64>) -> Option<f64> {
        mean_loss(self.chunks().map(|(_, chunk)| chunk), loss)
    }

    /// The smallest and the largest utility.
    pub fn utility_range(&self) -> Option<(f64, f64)> {
        chart::range(self.chunks().filter_map(|(_, c)| c.utility))
    }

    /// The utility that gets the strongest colour: colours begin at zero, so that two chunks that
    /// are nearly alike look so. No signed utility is beyond it, and both have this one scale.
    pub fn utility_scale(&self) -> Option<f64> {
        let (_, high) = self.utility_range()?;
        Some(high.max(LEAST_SCALE))
    }

    /// Of each step, how much its loss differs from that of the same tokens before any step, or
    /// else from that of its chunk. `None` where that was not measured for all of them.
    pub fn changes(&self) -> Option<Vec<Change>> {
        let mut changes: Vec<Change> = Vec::with_capacity(self.steps.len());
        for step in self.steps.iter().map(|s| &s.step) {
            let change = step.loss - step.before.or_else(|| self.before(step))?;
            let last = changes.last().map(|last| last.smoothed);
            let smoothed = smooth(last, changes.len(), change, step.of);
            changes.push(Change { change, smoothed });
        }
        Some(changes)
    }

    /// The loss before any step where a step drew its tokens from.
    fn before(&self, step: &Step) -> Option<f64> {
        let chunks = &self.segments.get(step.segment)?.chunks;
        match step.chunk {
            Some(chunk) => chunks.get(chunk)?.loss_before,
            None => mean_loss(chunks.iter(), |c| c.loss_before),
        }
    }

    /// The bytes of the document's text that each of its tokens covers; `None` where the run did
    /// not tell.
    pub fn token_bytes(&self) -> Option<Vec<Range<usize>>> {
        let mut all = Vec::new();
        for segment in &self.segments {
            if segment.lengths.len() != segment.tokens || segment.tokens == 0 {
                return None;
            }
            let mut start = segment.from;
            all.extend(segment.lengths.iter().map(|&length| {
                let token = start..start.saturating_add(length as usize);
                start = token.end;
                token
            }));
        }
        (!all.is_empty()).then_some(all)
    }

    /// Whether there is anything to draw.
    pub fn is_empty(&self) -> bool {
        self.chunks().next().is_none() && self.steps.is_empty()
    }
}

fn rate(parts: impl Iterator<Item = (usize, f64)>) -> Option<f64> {
    let (tokens, seconds) = parts.fold((0_usize, 0.0), |(t, s), (tokens, seconds)| {
        (t.saturating_add(tokens), s + seconds)
    });
    (seconds > 0.0 && tokens > 0).then(|| tokens as f64 / seconds)
}

/// The mean over some chunks, each as heavy as its tokens.
fn mean_loss<'a>(
    chunks: impl Iterator<Item = &'a ChunkRecord>,
    loss: fn(&ChunkRecord) -> Option<f64>,
) -> Option<f64> {
    let (mut sum, mut weight) = (0.0, 0.0);
    for chunk in chunks {
        if let Some(loss) = loss(chunk) {
            let tokens = chunk.tokens.len().max(1) as f64;
            sum += loss * tokens;
            weight += tokens;
        }
    }
    (weight > 0.0).then(|| sum / weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::event::{Event, When};
    use crate::write::synthetic::{Invented, events};

    fn until(stop: impl Fn(&Event) -> bool) -> RunRecord {
        let all = events(&Invented::default());
        RunRecord::from_events(all.iter().take_while(|event| !stop(event)))
    }

    #[test]
    fn a_step_counts_by_what_its_own_tokens_lost() {
        let mut run = until(|_| false);
        let changes = run.changes().expect("measured");
        for (step, change) in run.steps.iter().zip(&changes) {
            let before = step.step.before.expect("told");
            assert_eq!(change.change, step.step.loss - before);
        }
        assert_eq!(changes[0].smoothed, changes[0].change);
        // A run that did not tell is measured by its chunks.
        run.steps.iter_mut().for_each(|s| s.step.before = None);
        let (changes, first) = (run.changes().expect("measured"), &run.steps[0].step);
        let chunk = &run.segments[0].chunks[first.chunk.expect("a chunk")];
        let change = first.loss - chunk.loss_before.expect("measured");
        assert_eq!(changes[0].change, change);
        run.segments[0]
            .chunks
            .iter_mut()
            .for_each(|c| c.loss_before = None);
        assert_eq!(run.changes(), None);
    }

    #[test]
    fn colours_begin_at_zero_and_small_utilities_stay_dark() {
        let run = until(|_| false);
        let (low, high) = run.utility_range().expect("measured");
        assert!(low > 0.0);
        assert_eq!(run.utility_scale(), Some(high));
        let mut small = run;
        for chunk in &mut small.segments[0].chunks {
            chunk.utility = Some(0.001);
        }
        assert_eq!(small.utility_scale(), Some(LEAST_SCALE));
        assert_eq!(RunRecord::default().utility_scale(), None);
    }

    #[test]
    fn tokens_are_found_in_the_text_without_the_model() {
        let several = Invented {
            context: 5000,
            ..Invented::default()
        };
        let mut run = RunRecord::from_events(&events(&several));
        let bytes = run.token_bytes().expect("told");
        assert_eq!(bytes.len(), 12_700);
        assert!(bytes.windows(2).all(|pair| pair[0].end == pair[1].start));
        let chunk = &run.segments[1].chunks[2];
        let first = &bytes[run.segments[0].tokens + chunk.tokens.start];
        assert_eq!(first.start, chunk.text.start);
        run.segments[1].lengths.clear();
        assert_eq!(run.token_bytes(), None);
    }

    #[test]
    fn the_time_left_falls_while_losses_are_measured() {
        let after = |e: &Event| matches!(e, Event::Evaluated(e) if e.when == When::After);
        let mut run = until(after);
        let mut last = f64::INFINITY;
        for done in 0..=13 {
            let (phase, total) = (Phase::Evaluate, 13);
            run.fold(&Event::Progress { phase, done, total });
            let left = run.seconds_left().expect("steps were taken");
            assert!(left < last, "{left} after {last}");
            last = left;
        }
        assert!(last < 1e-9, "{last}");
    }
}
