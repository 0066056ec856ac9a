//! Batches to learn from, and the trainer that learns from them, for each method.

use std::ops::Range;
use std::sync::Arc;

use super::error::WriteError;
use super::prefix;
use super::sampling::SpanSampler;
use super::settings::{Method, WriteSettings};
use crate::engine::Device;
use crate::memory::{Content, Lora, Prefix};
use crate::model::gradmem::GradMem;
use crate::model::session::SessionOptions;
use crate::model::train::{Batch, BatchKind, Trained, Trainer, TrainerState};
use crate::model::transformer::{Cache, Transformer};

/// Rows that a frozen evaluation reads at a time.
const EVALUATION_ROWS: usize = 512;

/// A part of the document as the model reads it: `lead` tokens that open the text, then its own.
#[derive(Clone, Debug)]
pub struct Segment {
    pub index: usize,
    /// Its tokens in the document.
    pub tokens: Range<usize>,
    pub lead: usize,
    pub ids: Vec<u32>,
    /// Tokens that no step learns to predict: sorted, apart from each other.
    pub held_out: Vec<Range<usize>>,
}

impl Segment {
    /// Tokens of the document.
    pub fn len(&self) -> usize {
        self.ids.len() - self.lead
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

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

    /// The first token that something stands before.
    fn first_predicted(&self) -> usize {
        usize::from(self.lead == 0)
    }
}

/// The adapter that a segment's steps start from: it adds nothing yet.
pub fn untouched(model: &Transformer, settings: &WriteSettings, segment: usize) -> Content {
    // Segments of one document start from different matrices.
    let seed = settings.seed.wrapping_add((segment as u64) << 32);
    Content::Lora(Lora::new(&model.config, settings.lora.clone(), seed))
}

/// Learns one segment.
pub struct Learner<'m> {
    device: &'m Device,
    trainer: Trainer<'m>,
    segment: Segment,
    settings: WriteSettings,
    start: Content,
    learned: Option<GradMem>,
}

/// What memory tokens may start from.
#[derive(Clone, Default)]
pub struct Origin {
    /// `-log P` of the segment's tokens, where it is known.
    pub surprisal: Vec<Option<f32>>,
    /// What the model carries for its memory.
    pub learned: Option<GradMem>,
}

/// What one step told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Learned {
    /// Mean over the tokens learned from, before the step.
    pub loss: f64,
    pub grad_norm: f64,
    pub tokens: usize,
}

impl<'m> Learner<'m> {
    /// `cache` holds the segment's keys and values where the method keeps them.
    pub fn new(
        device: &'m Device,
        model: &'m Transformer,
        segment: Segment,
        settings: &WriteSettings,
        origin: Origin,
        cache: Option<Cache>,
        options: SessionOptions<'m>,
    ) -> Result<Learner<'m>, WriteError> {
        let Origin { surprisal, learned } = origin;
        let start = match settings.method {
            Method::Gdwm | Method::Lora => untouched(model, settings, segment.index),
            Method::Gradmem => {
                let learned = learned.as_ref();
                Content::Prefix(prefix::start(
                    device, model, &segment, settings, &surprisal, learned,
                )?)
            }
        };
        let (trained, initial) = match &start {
            Content::Lora(lora) => {
                let layout = lora.layout(&model.config);
                let initial = lora.pack(&layout);
                let scale = lora.config.scale();
                (Trained::Adapter { layout, scale }, initial)
            }
            Content::Prefix(prefix) => {
                let way = learned.as_ref().map(|l| l.writing(device)).transpose()?;
                let trained = Trained::Prefix {
                    rows: prefix.rows,
                    way: way.map(Arc::new),
                };
                (trained, prefix.values.clone())
            }
        };
        let recompute = settings.recompute.asked();
        let trainer = Trainer::new(device, model, trained, &initial, cache, recompute, options)?;
        Ok(Learner {
            device,
            trainer,
            segment,
            settings: settings.clone(),
            start,
            learned,
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

    /// What tells apart the tokens that such a batch learns from.
    pub fn drawn(&self, step: usize, range: Range<usize>) -> Vec<usize> {
        let batch = self.batch(step, range.clone());
        let rows = batch.weights.iter().enumerate().filter(|(_, w)| **w > 0.0);
        rows.map(|(row, _)| match batch.positions.get(row) {
            Some(&position) => position as usize,
            None => range.start + row,
        })
        .collect()
    }

    fn batch(&self, step: usize, range: Range<usize>) -> Batch {
        match self.settings.method {
            Method::Gdwm => self.spans(step, range),
            Method::Lora | Method::Gradmem => self.sequence(step, range),
        }
    }

    /// Takes the step that is number `step` of the run, on tokens within `range`.
    pub fn step(&mut self, step: usize, range: Range<usize>) -> Result<Learned, WriteError> {
        let batch = self.batch(step, range);
        let tokens = batch.weights.iter().filter(|&&w| w > 0.0).count();
        if tokens == 0 {
            // A chunk of one token that nothing stands before, or one held out whole.
            return Ok(Learned::default());
        }
        self.trainer.zero_gradients()?;
        let logprobs = self.trainer.accumulate(&batch)?;
        let weighted = logprobs
            .iter()
            .zip(&batch.weights)
            .filter(|(_, w)| **w > 0.0);
        let loss = weighted.map(|(l, &w)| -l * f64::from(w)).sum();
        let grad_norm = self.trainer.apply(&self.settings.optimizer())?;
        Ok(Learned {
            loss,
            grad_norm,
            tokens,
        })
    }

    /// Spans of contiguous tokens, each seeing all of the document before it.
    fn spans(&self, step: usize, range: Range<usize>) -> Batch {
        let s = &self.settings;
        let sampler = SpanSampler::new(s.seed, s.batch, s.span);
        let sampler = sampler.hold_out(self.segment.held_out.clone());
        let spans = sampler.draw(step as u64, range);
        let targets = spans.iter().flat_map(|spans| spans.targets()).flatten();
        self.frozen_batch(&targets.collect::<Vec<_>>())
    }

    /// Rows that predict `targets` (tokens of the segment) from the frozen cache.
    fn frozen_batch(&self, targets: &[usize]) -> Batch {
        let segment = &self.segment;
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
    fn sequence(&self, step: usize, range: Range<usize>) -> Batch {
        let s = &self.settings;
        let len = s.batch.saturating_mul(s.span).min(range.len());
        if len == range.len() {
            return self.sequence_batch(range, true);
        }
        let spans = SpanSampler::new(s.seed, 1, len).draw(step as u64, range.clone());
        let targets = spans.and_then(|spans| spans.targets().next());
        self.sequence_batch(targets.unwrap_or(range), true)
    }

    /// Tokens read by themselves, after the memory's tokens where it has some, and after what
    /// opens every text.
    fn sequence_batch(&self, range: Range<usize>, learning: bool) -> Batch {
        let segment = &self.segment;
        let (lead, body) = segment.ids.split_at(segment.lead);
        let prefix = self.trainer.trained().rows_before();
        let read = [lead, &body[range.clone()]].concat();
        // Row r predicts what row r + 1 reads: prefix, lead, then the text.
        let opening = prefix + lead.len();
        let rows = prefix + read.len();
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

    /// `-log P` of the tokens of a chunk, as a reader with this memory would see them.
    pub fn surprisal(&mut self, range: Range<usize>) -> Result<Vec<Option<f32>>, WriteError> {
        let mut surprisal = vec![None; range.len()];
        match self.settings.method {
            Method::Gdwm => {
                let first = range.start.max(self.segment.first_predicted());
                let targets: Vec<usize> = (first..range.end).collect();
                for some in targets.chunks(EVALUATION_ROWS) {
                    let logprobs = self.trainer.evaluate(&self.frozen_batch(some))?;
                    for (&token, logprob) in some.iter().zip(logprobs) {
                        surprisal[token - range.start] = Some(-logprob as f32);
                    }
                }
            }
            Method::Lora | Method::Gradmem => {
                let batch = self.sequence_batch(range.clone(), false);
                let logprobs = self.trainer.evaluate(&batch)?;
                let scored = logprobs
                    .iter()
                    .zip(&batch.weights)
                    .filter(|(_, w)| **w > 0.0);
                let scored: Vec<f32> = scored.map(|(l, _)| -*l as f32).collect();
                let skipped = range.len() - scored.len();
                for (to, value) in surprisal[skipped..].iter_mut().zip(scored) {
                    *to = Some(value);
                }
            }
        }
        Ok(surprisal)
    }

    pub fn state(&self) -> Result<TrainerState, WriteError> {
        Ok(self.trainer.state()?)
    }

    pub fn restore(&mut self, state: &TrainerState) -> Result<(), WriteError> {
        Ok(self.trainer.restore(state)?)
    }

    /// The memory as it stands, as the model reads it.
    pub fn memory(&self) -> Result<Content, WriteError> {
        let values = self.trainer.parameters()?;
        Ok(match (&self.start, self.trainer.trained()) {
            (Content::Lora(lora), Trained::Adapter { layout, .. }) => {
                Content::Lora(Lora::unpack(lora.config.clone(), layout, &values))
            }
            (Content::Prefix(prefix), _) => {
                let values = match &self.learned {
                    Some(learned) => learned.read(self.device, &values)?,
                    None => values,
                };
                Content::Prefix(Prefix {
                    rows: values.len() / prefix.hidden,
                    hidden: prefix.hidden,
                    values,
                })
            }
            (Content::Lora(lora), _) => Content::Lora(lora.clone()),
        })
    }

    /// Bytes held on the device: activations, the memory, its gradients and the optimiser's state.
    pub fn bytes(&self) -> u64 {
        self.trainer.bytes()
    }
}
