//! What a run looks like so far: its events folded into one record that any view shows. The live
//! terminal view, the window, the figures and a replay all read this and nothing else.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::event::{
    ChunkSteps, ChunkUtility, DocumentInfo, Evaluated, Event, ModelInfo, Phase, PhaseSeconds,
    Started, Step, StepKind, When,
};
use super::settings::WriteSettings;

mod plausible;
mod read;
mod remarks;
#[cfg(test)]
mod tests;
mod views;

pub use read::{EventsFile, RunError, read_events, read_run};
pub use views::Change;

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// No event has come.
    #[default]
    Waiting,
    /// Going on; of a file: it stopped before its end.
    Running,
    /// Waiting, until the user lets it go on.
    Paused,
    /// At its end.
    Done,
}

/// A run so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// How far the run is.
    pub status: Status,
    /// The document that is written; `None` before the first event, like `model` and `settings`.
    pub document: Option<DocumentInfo>,
    /// The model whose memory is written.
    pub model: Option<ModelInfo>,
    /// Name of the device that the model runs on; empty before the first event.
    pub device: String,
    /// Settings of the run.
    pub settings: Option<WriteSettings>,
    /// Start of the run, in seconds since 1970.
    pub unix_secs: u64,
    /// The segments, as many as the run announced; those not reached yet have no chunks.
    pub segments: Vec<SegmentRecord>,
    /// The segment that is being read or written.
    #[serde(default)]
    pub reached: usize,
    /// The steps that count; one that a resumed run took again is here once.
    pub steps: Vec<StepRecord>,
    /// Steps planned over all segments, once known.
    pub steps_planned: Option<usize>,
    /// The phase that is going on, where one is.
    pub progress: Option<PhaseProgress>,
    /// Number of the last step that is safe on disk.
    pub checkpointed: Option<usize>,
    /// Seconds by phase as the writer measured them; `None` before the run's end.
    pub measured: Option<PhaseSeconds>,
    /// Bytes of memory at the most, as in [`Done`](super::event::Done); `None` before the run's
    /// end.
    pub peak_bytes: Option<u64>,
}

/// How far a phase is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseProgress {
    /// Number of the segment, from 0.
    pub segment: usize,
    /// The phase that is going on.
    pub phase: Phase,
    /// Units of work done, of `total`.
    pub done: usize,
    /// Units of work in all.
    pub total: usize,
}

/// A part of the document that fits the model's context.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SegmentRecord {
    /// Tokens of the document in the segment; 0 until it is announced.
    pub tokens: usize,
    /// Byte of the document's text at which the first token begins.
    #[serde(default)]
    pub from: usize,
    /// Bytes from the end of the token before to the end of each token; empty where the run did
    /// not tell.
    #[serde(default)]
    pub lengths: Vec<u32>,
    /// Chunks of the segment; empty until their utilities or planned steps are known.
    pub chunks: Vec<ChunkRecord>,
    /// `-log P_full` of each token.
    pub surprisal: Vec<Option<f32>>,
    /// `-log P_local` of each token.
    pub local_surprisal: Vec<Option<f32>>,
    /// `-log P` of each token as the memory's reader sees it, once the steps are taken.
    pub surprisal_after: Vec<Option<f32>>,
    /// Tokens of local context; `None` until the local pass.
    pub window: Option<usize>,
    /// Seconds that reading the whole segment took.
    pub prefill_secs: f64,
    /// Seconds that reading with nearby context took.
    pub local_secs: f64,
    /// Seconds that measuring before the steps took.
    pub evaluate_before_secs: f64,
    /// Seconds that measuring after the steps took.
    pub evaluate_after_secs: f64,
}

/// What is known of a chunk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChunkRecord {
    /// Tokens of its segment; empty until they are known.
    pub tokens: Range<usize>,
    /// Bytes of the document's text.
    pub text: Range<usize>,
    /// The heading that the chunk lies under, where there is one.
    pub title: Option<String>,
    /// Mean of `|log P_full - log P_local|` in nats a token; `None` until it is measured.
    pub utility: Option<f64>,
    /// Mean of `log P_full - log P_local` in nats a token; `None` until it is measured.
    pub signed: Option<f64>,
    /// Mean of `-log P_full` in nats a token; `None` until it is measured.
    pub surprisal: Option<f64>,
    /// Steps that the chunk is to get.
    pub planned: ChunkSteps,
    /// Steps that the chunk has had.
    pub taken: ChunkSteps,
    /// Mean loss before any step, in nats a token.
    pub loss_before: Option<f64>,
    /// Mean loss after the last step, in nats a token.
    pub loss_after: Option<f64>,
    /// Mean loss before any step over the tokens that no step learns from; `None` where there are
    /// none.
    pub held_out_before: Option<f64>,
    /// Mean loss after the last step over the tokens that no step learns from.
    pub held_out_after: Option<f64>,
    /// Whether all its steps are taken.
    pub done: bool,
}

/// A step that counts, with the smoothed loss at that point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step as it was reported.
    #[serde(flatten)]
    pub step: Step,
    /// Mean of the losses so far in nats, in which each counts less the older it is.
    pub smoothed: f64,
}

impl RunRecord {
    /// The record of a run with these events, in order.
    pub fn from_events<'a>(events: impl IntoIterator<Item = &'a Event>) -> RunRecord {
        let mut record = RunRecord::default();
        for event in events {
            record.fold(event);
        }
        record
    }

    /// Takes in the next event. Events that come again (a resumed run reads the document again and
    /// takes the steps after its checkpoint again) replace what they said before; one that no run can
    /// have told after those so far, such as of a chunk beyond the last, is passed over.
    pub fn fold(&mut self, event: &Event) {
        if self.fault(event).is_none() {
            self.take(event);
        }
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Started(started) => self.start(started),
            Event::SegmentStarted {
                segment,
                tokens,
                from,
                lengths,
            } => {
                let part = self.segment(*segment);
                (part.tokens, part.from) = (*tokens, *from);
                part.lengths.clone_from(lengths);
                self.reached = *segment;
            }
            Event::Progress { phase, done, total } => {
                let segment = self.reached;
                self.progress = Some(PhaseProgress {
                    segment,
                    phase: *phase,
                    done: *done,
                    total: *total,
                });
            }
            Event::Prefilled {
                segment,
                tokens,
                seconds,
                surprisal,
            } => {
                let part = self.segment(*segment);
                part.tokens = *tokens;
                part.prefill_secs = *seconds;
                part.surprisal = surprisal.clone();
            }
            Event::LocallyRead {
                segment,
                window,
                seconds,
                surprisal,
            } => {
                let part = self.segment(*segment);
                part.window = Some(*window);
                part.local_secs = *seconds;
                part.local_surprisal = surprisal.clone();
            }
            Event::Utility { segment, chunks } => self.measure(*segment, chunks),
            Event::Allocated { segment, steps } => self.plan(*segment, steps),
            Event::Evaluated(evaluated) => self.evaluate(evaluated),
            Event::Step(step) => self.step(step),
            Event::ChunkDone { segment, chunk } => self.chunk(*segment, *chunk).done = true,
            Event::Checkpointed { step } => self.checkpointed = Some(*step),
            Event::Paused => self.status = Status::Paused,
            Event::Resumed { step } => {
                self.status = Status::Running;
                self.forget_steps_after(*step);
            }
            Event::Done(done) => {
                self.status = Status::Done;
                self.progress = None;
                self.measured = Some(done.seconds);
                self.peak_bytes = Some(done.peak_bytes);
            }
        }
    }

    fn start(&mut self, started: &Started) {
        let same = self.document.as_ref() == Some(&started.document)
            && self.model.as_ref() == Some(&started.model)
            && self.settings.as_ref() == Some(&started.settings);
        if !same {
            *self = RunRecord::default();
        }
        self.status = Status::Running;
        self.progress = None;
        self.measured = None;
        self.document = Some(started.document.clone());
        self.model = Some(started.model.clone());
        self.settings = Some(started.settings.clone());
        self.device = started.device.clone();
        if !same {
            self.unix_secs = started.unix_secs;
        }
        if let Some(last) = started.segments.checked_sub(1) {
            self.segment(last);
        }
    }

    fn measure(&mut self, segment: usize, chunks: &[ChunkUtility]) {
        let unchanged = self
            .settings
            .as_ref()
            .is_some_and(|s| s.method.reads_document());
        let part = self.segment(segment);
        part.chunks.resize(chunks.len(), ChunkRecord::default());
        for (chunk, measured) in part.chunks.iter_mut().zip(chunks) {
            chunk.tokens = measured.tokens.clone();
            chunk.text = measured.text.clone();
            chunk.title = measured.title.clone();
            chunk.utility = Some(measured.utility);
            chunk.signed = Some(measured.signed);
            chunk.surprisal = Some(measured.surprisal);
            // A fresh adapter adds nothing: the prefill has measured the loss before any step.
            if unchanged && measured.surprisal.is_finite() {
                chunk.loss_before = chunk.loss_before.or(Some(measured.surprisal));
            }
        }
    }

    fn plan(&mut self, segment: usize, steps: &[ChunkSteps]) {
        let part = self.segment(segment);
        if part.chunks.len() < steps.len() {
            part.chunks.resize(steps.len(), ChunkRecord::default());
        }
        for (chunk, planned) in part.chunks.iter_mut().zip(steps) {
            chunk.planned = *planned;
        }
    }

    fn evaluate(&mut self, evaluated: &Evaluated) {
        let losses = &evaluated.losses;
        let part = self.segment(evaluated.segment);
        if part.chunks.len() < losses.len() {
            part.chunks.resize(losses.len(), ChunkRecord::default());
        }
        let after = evaluated.when == When::After;
        if after {
            part.evaluate_after_secs = evaluated.seconds;
            part.surprisal_after = evaluated.surprisal.clone();
        } else {
            part.evaluate_before_secs = evaluated.seconds
        }
        for (at, chunk) in part.chunks.iter_mut().enumerate() {
            let loss = losses.get(at).copied().filter(|l| l.is_finite());
            let held_out = evaluated.held_out.get(at).copied().flatten();
            let held_out = held_out.filter(|l| l.is_finite());
            if after {
                (chunk.loss_after, chunk.held_out_after) = (loss, held_out)
            } else {
                (chunk.loss_before, chunk.held_out_before) = (loss, held_out)
            }
        }
    }

    fn step(&mut self, step: &Step) {
        self.status = Status::Running;
        if self.steps.last().is_some_and(|l| l.step.step >= step.step) {
            self.forget_steps_after(step.step.saturating_sub(1));
        }
        self.steps_planned = Some(step.of);
        self.progress = Some(PhaseProgress {
            segment: step.segment,
            phase: Phase::Steps,
            done: step.step,
            total: step.of,
        });
        if let Some(chunk) = step.chunk {
            *self.taken(step.segment, chunk, step.kind) += 1;
        }
        let last = self.steps.last().map(|last| last.smoothed);
        let smoothed = smooth(last, self.steps.len(), step.loss, step.of);
        self.steps.push(StepRecord {
            step: step.clone(),
            smoothed,
        });
    }

    fn taken(&mut self, segment: usize, chunk: usize, kind: StepKind) -> &mut u32 {
        let taken = &mut self.chunk(segment, chunk).taken;
        match kind {
            StepKind::Coverage => &mut taken.coverage,
            StepKind::Utility => &mut taken.utility,
        }
    }

    fn forget_steps_after(&mut self, step: usize) {
        let keep = self.steps.partition_point(|s| s.step.step <= step);
        for StepRecord { step, .. } in self.steps.split_off(keep) {
            if let Some(chunk) = step.chunk {
                let taken = self.taken(step.segment, chunk, step.kind);
                *taken = taken.saturating_sub(1);
                self.chunk(step.segment, chunk).done = false;
            }
            let part = self.segment(step.segment);
            part.evaluate_after_secs = 0.0;
            part.surprisal_after.clear();
            for chunk in &mut part.chunks {
                (chunk.loss_after, chunk.held_out_after) = (None, None);
            }
        }
    }

    /// The segment of an event that was found plausible.
    fn segment(&mut self, index: usize) -> &mut SegmentRecord {
        if self.segments.len() <= index {
            self.segments.resize(index + 1, SegmentRecord::default());
        }
        &mut self.segments[index]
    }

    fn chunk(&mut self, segment: usize, chunk: usize) -> &mut ChunkRecord {
        let chunks = &mut self.segment(segment).chunks;
        if chunks.len() <= chunk {
            chunks.resize(chunk + 1, ChunkRecord::default());
        }
        &mut chunks[chunk]
    }
}

/// An exponential mean without the pull towards zero that its start would give (Adam's bias
/// correction): `m = b m + (1 - b) x`, shown as `m / (1 - b^t)`. `last` is what was shown after
/// `before` values, and `of` values will come in all.
fn smooth(last: Option<f64>, before: usize, value: f64, of: usize) -> f64 {
    let reach = (of as f64 / 10.0).clamp(4.0, 64.0);
    let keep = 1.0 - 1.0 / reach;
    let Some(last) = last else { return value };
    let bias = |values: usize| 1.0 - keep.powi(values.min(1 << 20) as i32);
    let mean = keep * last * bias(before) + (1.0 - keep) * value;
    mean / bias(before + 1)
}
