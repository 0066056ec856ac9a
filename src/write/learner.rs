//! A part of the document, and what learns it by a method's steps.

use std::ops::Range;

use super::error::WriteError;
use super::method::{Finish, Start, Text};
use super::settings::WriteSettings;
use crate::memory::Content;
use crate::model::loaded::Loaded;
use crate::model::session::SessionOptions;
use crate::model::train::{Batch, Trainer, TrainerState};
use crate::model::transformer::Cache;

/// A part of the document as the model reads it: `lead` tokens that open the text, then its own.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Number of the segment, from 0.
    pub index: usize,
    /// Range of the document's tokens that the segment has.
    pub tokens: Range<usize>,
    /// Number of tokens that open the text, such as those of a chat template.
    pub lead: usize,
    /// Token ids: those that open the text, then the segment's own.
    pub ids: Vec<u32>,
    /// Tokens that no step learns to predict, counted from the segment's first: sorted, not
    /// overlapping.
    pub held_out: Vec<Range<usize>>,
}

impl Segment {
    /// Tokens of the document.
    pub fn len(&self) -> usize {
        self.ids.len() - self.lead
    }

    /// Whether it has no token of the document.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its ids without those that open the text.
    pub fn body(&self) -> &[u32] {
        &self.ids[self.lead..]
    }

    /// Whether no step learns to predict a token.
    pub fn holds_out(&self, token: usize) -> bool {
        let after = self.held_out.partition_point(|held| held.end <= token);
        self.held_out
            .get(after)
            .is_some_and(|held| held.start <= token)
    }

    /// The first token that has another before it.
    pub fn first_predicted(&self) -> usize {
        usize::from(self.lead == 0)
    }
}

/// Learns one segment.
pub struct Learner {
    trainer: Trainer,
    segment: Segment,
    settings: WriteSettings,
    finish: Finish,
}

/// The measurements of one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Learned {
    /// Mean loss in nats over the tokens learned from, before the step.
    pub loss: f64,
    /// Norm of the gradients before clipping.
    pub grad_norm: f64,
    /// Number of tokens learned from.
    pub tokens: usize,
    /// Which ones, counted from the segment's first, where each was predicted from all that the
    /// document has before it; otherwise empty.
    pub predicted: Vec<usize>,
}

impl Learner {
    /// `surprisal` is `-log P` of the segment's tokens, where it is known; `cache` holds its keys
    /// and values where the method reads them.
    pub fn new(
        loaded: &Loaded,
        segment: Segment,
        settings: &WriteSettings,
        surprisal: &[Option<f32>],
        cache: Option<Cache>,
        options: SessionOptions,
    ) -> Result<Learner, WriteError> {
        let started = settings.method.start(&Start {
            loaded,
            segment: &segment,
            settings,
            surprisal,
        })?;
        let trainer = Trainer::new(
            &loaded.device,
            &loaded.transformer,
            started.trained,
            &started.initial,
            cache,
            settings.recompute.asked(),
            options,
        )?;
        Ok(Learner {
            trainer,
            segment,
            settings: settings.clone(),
            finish: started.finish,
        })
    }

    /// The gradient of a batch as a step would draw it, with nothing learned.
    pub fn gradient(&mut self, step: usize, range: Range<usize>) -> Result<Vec<f32>, WriteError> {
        let batch = self.batch(step, range);
        self.trainer.zero_gradients()?;
        if batch.weights.iter().any(|&w| w > 0.0) {
            self.trainer.accumulate(&batch)?;
        }
        Ok(self.trainer.gradients()?)
    }

    /// Distinct numbers for the tokens that such a batch learns from.
    pub fn drawn(&self, step: usize, range: Range<usize>) -> Vec<usize> {
        let batch = self.batch(step, range.clone());
        let rows = batch.weights.iter().enumerate().filter(|(_, w)| **w > 0.0);
        rows.map(|(row, _)| match batch.positions.get(row) {
            Some(&position) => position as usize,
            None => range.start + row,
        })
        .collect()
    }

    fn text(&self) -> Text<'_> {
        Text {
            segment: &self.segment,
            settings: &self.settings,
            rows_before: self.trainer.trained().rows_before(),
        }
    }

    fn batch(&self, step: usize, range: Range<usize>) -> Batch {
        self.settings.method.batch(&self.text(), step, range)
    }

    /// Takes the step that is number `step` of the run, on tokens within `range`.
    pub fn step(&mut self, step: usize, range: Range<usize>) -> Result<Learned, WriteError> {
        let batch = self.batch(step, range);
        let tokens = batch.weights.iter().filter(|&&w| w > 0.0).count();
        if tokens == 0 {
            // A chunk of one token with nothing before it, or one held out whole.
            return Ok(Learned::default());
        }
        self.trainer.zero_gradients()?;
        let logprobs = self.trainer.accumulate(&batch)?;
        let loss = scored(&logprobs, &batch).map(|(l, w)| -l * w).sum();
        let grad_norm = self.trainer.apply(&self.settings.optimizer())?;
        Ok(Learned {
            loss,
            grad_norm,
            tokens,
            predicted: self.predicted(&batch),
        })
    }

    /// Positions are those of the tokens read, each of which predicts the next.
    fn predicted(&self, batch: &Batch) -> Vec<usize> {
        let rows = batch.positions.iter().zip(&batch.weights);
        let scored = rows.filter(|(_, weight)| **weight > 0.0);
        scored
            .filter_map(|(&at, _)| (at as usize + 1).checked_sub(self.segment.lead))
            .collect()
    }

    /// `-log P` of the tokens of a chunk, as a reader with this memory would see them.
    pub fn surprisal(&mut self, range: Range<usize>) -> Result<Vec<Option<f32>>, WriteError> {
        let method = self.settings.method;
        let mut values = Vec::with_capacity(range.len());
        for batch in method.evaluation(&self.text(), range.clone()) {
            let logprobs = self.trainer.evaluate(&batch)?;
            values.extend(scored(&logprobs, &batch).map(|(l, _)| Some(-l as f32)));
        }
        let mut surprisal = vec![None; range.len().saturating_sub(values.len())];
        surprisal.extend(values);
        Ok(surprisal)
    }

    /// What going on from here needs: the trained numbers and the optimiser's moments.
    pub fn state(&self) -> Result<TrainerState, WriteError> {
        Ok(self.trainer.state()?)
    }

    /// The state before the last step that was taken: its losses were numbers.
    pub fn good_state(&self) -> Result<TrainerState, WriteError> {
        Ok(self.trainer.before()?)
    }

    /// Goes on from an earlier state.
    pub fn restore(&mut self, state: &TrainerState) -> Result<(), WriteError> {
        Ok(self.trainer.restore(state)?)
    }

    /// The memory in its present state, as the model reads it.
    pub fn memory(&self) -> Result<Content, WriteError> {
        (self.finish)(self.trainer.parameters()?)
    }

    /// Bytes held on the device: activations, the memory, its gradients and the optimiser's state.
    pub fn bytes(&self) -> u64 {
        self.trainer.bytes()
    }
}

/// The log-probabilities of the rows that count, and what each counts.
fn scored<'a>(logprobs: &'a [f64], batch: &'a Batch) -> impl Iterator<Item = (f64, f64)> + 'a {
    let rows = logprobs.iter().zip(&batch.weights);
    rows.filter(|(_, w)| **w > 0.0)
        .map(|(&l, &w)| (l, f64::from(w)))
}
