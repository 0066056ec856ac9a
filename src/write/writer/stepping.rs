//! The step loop: steps, pauses, checkpoints, and the losses measured around them.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::survey::Reading;
use super::{RunState, Writer};
use crate::model::ModelError;
use crate::write::error::WriteError;
use crate::write::event::{ChunkSteps, ChunkUtility, Evaluated, Event, Phase, Step, When};
use crate::write::learner::{Learner, Segment};
use crate::write::schedule::{Planned, schedule};
use crate::write::settings::Allocate;
use crate::write::utility;

/// Time between two looks whether a paused run may go on.
const PAUSE_POLL: Duration = Duration::from_millis(30);

impl Writer<'_, '_> {
    pub(super) fn steps(
        &mut self,
        learner: &mut Learner,
        segment: &Segment,
        reading: &Reading,
        steps: &[ChunkSteps],
        done: usize,
    ) -> Result<(), WriteError> {
        let planned = schedule(steps);
        let mut left: Vec<u32> = steps.iter().map(|s| s.total()).collect();
        for step in &planned[..done.min(planned.len())] {
            left[step.chunk] -= 1;
        }
        let whole = self.job.settings.allocate == Allocate::Whole;
        for planned in planned.iter().skip(done) {
            self.wait_while_paused(learner, segment)?;
            if self.cancel.is_cancelled() {
                return self.stop(learner, segment);
            }
            let range = if whole {
                0..segment.len()
            } else {
                reading.chunks[planned.chunk].tokens.clone()
            };
            let surprisal = &reading.surprisal;
            match self.step(learner, segment, surprisal, *planned, range, whole) {
                Err(error) if error.is_cancelled() => return self.stop(learner, segment),
                other => other?,
            }
            left[planned.chunk] -= 1;
            if left[planned.chunk] == 0 && !whole {
                self.tell(&Event::ChunkDone {
                    segment: segment.index,
                    chunk: planned.chunk,
                })?;
            }
            let every = self.job.settings.checkpoint;
            if every > 0 && self.step.is_multiple_of(every) {
                self.checkpoint(learner, segment)?;
            }
        }
        // What comes after may be stopped, too.
        if self.job.settings.checkpoint > 0 && self.step > self.kept {
            self.checkpoint(learner, segment)?;
        }
        Ok(())
    }

    fn step(
        &mut self,
        learner: &mut Learner,
        segment: &Segment,
        surprisal: &[Option<f32>],
        planned: Planned,
        range: Range<usize>,
        whole: bool,
    ) -> Result<(), WriteError> {
        let started = Instant::now();
        let learned = match learner.step(self.step, range) {
            Err(error) => return Err(self.explained(error, learner, segment, self.step + 1)),
            Ok(learned) => learned,
        };
        if learned.tokens > 0 {
            self.good = Some(self.step);
        }
        let seconds = started.elapsed().as_secs_f64();
        self.seconds.steps += seconds;
        self.step += 1;
        let known = learned.predicted.iter();
        let before = known.filter_map(|&token| surprisal.get(token).copied().flatten());
        self.tell(&Event::Step(Step {
            segment: segment.index,
            chunk: (!whole).then_some(planned.chunk),
            step: self.step,
            of: self.job.settings.budget,
            kind: planned.kind,
            loss: learned.loss,
            before: utility::mean(before.map(f64::from)),
            grad_norm: learned.grad_norm,
            tokens: learned.tokens,
            seconds,
        }))
    }

    fn wait_while_paused(
        &mut self,
        learner: &mut Learner,
        segment: &Segment,
    ) -> Result<(), WriteError> {
        if !self.keeper.paused() {
            return Ok(());
        }
        self.checkpoint(learner, segment)?;
        self.tell(&Event::Paused)?;
        while self.keeper.paused() && !self.cancel.is_cancelled() {
            std::thread::sleep(PAUSE_POLL);
        }
        self.tell(&Event::Resumed { step: self.step })
    }

    /// Ends a cancelled run with everything so far kept.
    fn stop(&mut self, learner: &Learner, segment: &Segment) -> Result<(), WriteError> {
        self.checkpoint(learner, segment)?;
        Err(WriteError::Cancelled { step: self.step })
    }

    /// A loss that is no number ends the run with the last state that gave one.
    fn explained(
        &mut self,
        error: WriteError,
        learner: &Learner,
        segment: &Segment,
        step: usize,
    ) -> WriteError {
        if !matches!(error, WriteError::Model(ModelError::NotANumber)) {
            return error;
        }
        if let Some(step) = self.good.take().filter(|good| *good > self.kept) {
            let kept = learner.good_state().and_then(|state| {
                self.keeper.checkpoint(&RunState {
                    segment: segment.index,
                    step,
                    state,
                })
            });
            if let Err(error) = kept {
                return error;
            }
            self.kept = step;
        }
        WriteError::NotANumber {
            step,
            kept: self.kept,
        }
    }

    pub(super) fn checkpoint(
        &mut self,
        learner: &Learner,
        segment: &Segment,
    ) -> Result<(), WriteError> {
        let started = Instant::now();
        let state = learner.state()?;
        if !state.params.iter().all(|v| v.is_finite()) {
            let error = ModelError::NotANumber.into();
            return Err(self.explained(error, learner, segment, self.step));
        }
        self.keeper.checkpoint(&RunState {
            segment: segment.index,
            step: self.step,
            state,
        })?;
        self.kept = self.step;
        self.seconds.save += started.elapsed().as_secs_f64();
        self.tell(&Event::Checkpointed { step: self.step })
    }

    pub(super) fn evaluate(
        &mut self,
        learner: &mut Learner,
        segment: &Segment,
        chunks: &[ChunkUtility],
        when: When,
    ) -> Result<(), WriteError> {
        let started = Instant::now();
        let mut surprisal = vec![None; segment.len()];
        for (i, chunk) in chunks.iter().enumerate() {
            let own = match learner.surprisal(chunk.tokens.clone()) {
                Err(error) => return Err(self.explained(error, learner, segment, self.step)),
                Ok(own) => own,
            };
            surprisal[chunk.tokens.clone()].copy_from_slice(&own);
            self.tell(&Event::Progress {
                phase: Phase::Evaluate,
                done: i + 1,
                total: chunks.len(),
            })?;
        }
        let seconds = started.elapsed().as_secs_f64();
        self.seconds.evaluate += seconds;
        self.tell_losses(segment, chunks, when, seconds, surprisal)
    }

    /// Reports the means of the chunks.
    pub(super) fn tell_losses(
        &mut self,
        segment: &Segment,
        chunks: &[ChunkUtility],
        when: When,
        seconds: f64,
        surprisal: Vec<Option<f32>>,
    ) -> Result<(), WriteError> {
        let mean_of = |chunk: &ChunkUtility, held_out_only: bool| {
            let own = chunk
                .tokens
                .clone()
                .filter(|&t| !held_out_only || segment.holds_out(t));
            utility::mean(own.filter_map(|t| surprisal[t]).map(f64::from))
        };
        self.tell(&Event::Evaluated(Evaluated {
            segment: segment.index,
            when,
            seconds,
            losses: chunks
                .iter()
                .map(|c| mean_of(c, false).unwrap_or(0.0))
                .collect(),
            held_out: chunks.iter().map(|c| mean_of(c, true)).collect(),
            surprisal,
        }))
    }
}
