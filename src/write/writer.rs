//! The way of a document into a memory: read it whole, read it locally, weigh its chunks, share
//! out the steps, take them.

mod reading;
mod stepping;

use std::ops::Range;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::chunk::{self, Chunk};
use super::document::Document;
use super::error::WriteError;
use super::event::*;
use super::frame::Frame;
use super::learn::{Learner, Origin, Segment};
use super::plan::budget_of;
use super::reader::question_room;
use super::sampling::choose_held_out;
use super::settings::{Allocate, Chunking, Method, WriteSettings};
use super::utility;
use super::variance::{GradientVariance, gradient_variance};
use crate::engine::{CancelToken, Device};
use crate::memory::Content;
use crate::model::ModelError;
use crate::model::bundle::Model;
use crate::model::gradmem::GradMem;
use crate::model::session::SessionOptions;
use crate::model::tokenizer::TokenSpan;
use crate::model::train::TrainerState;
use crate::model::transformer::{Cache, Transformer};

pub use reading::Known;

/// A document, a model and what to do with them.
pub struct Job<'a> {
    pub model: &'a Model,
    pub transformer: &'a Transformer,
    pub device: &'a Device,
    /// See `memory::fingerprint`.
    pub fingerprint: &'a str,
    pub document: &'a Document,
    pub settings: &'a WriteSettings,
}

/// Where to go on after a stop.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    pub segment: usize,
    /// Steps taken, over all segments.
    pub step: usize,
    pub state: TrainerState,
}

/// Everything that a run hands out, and what it may go on from.
pub trait Keeper {
    fn event(&mut self, event: &Event) -> Result<(), WriteError>;

    /// Makes everything up to the checkpoint safe.
    fn checkpoint(&mut self, _checkpoint: &Checkpoint) -> Result<(), WriteError> {
        Ok(())
    }

    /// A segment's memory is finished.
    fn memory(&mut self, segment: &Segment, memory: &Content) -> Result<(), WriteError>;

    /// Whether to wait before the next step.
    fn paused(&self) -> bool {
        false
    }
}

/// A run that was stopped: its last checkpoint, and the steps shared out in its segment.
#[derive(Clone, Debug)]
pub struct Resume {
    pub checkpoint: Checkpoint,
    pub chunks: Vec<ChunkUtility>,
    pub steps: Vec<ChunkSteps>,
}

/// A document as tokens.
pub struct Tokens {
    pub ids: Vec<u32>,
    pub bytes: Vec<Range<usize>>,
}

impl Tokens {
    pub fn of(model: &Model, text: &str) -> Result<Tokens, WriteError> {
        let spans = model.tokenizer.encode_with_offsets(text, false, false);
        let spans: Vec<TokenSpan> = spans.map_err(ModelError::from)?;
        let (ids, bytes) = spans.into_iter().map(|span| (span.id, span.bytes)).unzip();
        Ok(Tokens { ids, bytes })
    }
}

/// Writes a document into memories, one a segment, telling `keeper` of everything.
pub fn write(
    job: &Job<'_>,
    keeper: &mut dyn Keeper,
    cancel: &CancelToken,
    resume: Option<Resume>,
) -> Result<Done, WriteError> {
    Writer::new(job, keeper, cancel, None)?.run(resume)
}

/// Reads, weighs the chunks and shares out the steps, and takes none of them.
pub fn plan(
    job: &Job<'_>,
    keeper: &mut dyn Keeper,
    cancel: &CancelToken,
) -> Result<(), WriteError> {
    Writer::new(job, keeper, cancel, None)?.plan_all()
}

/// As [`plan`], reading the document only where it is not yet `known`.
pub fn plan_again(
    job: &Job<'_>,
    keeper: &mut dyn Keeper,
    cancel: &CancelToken,
    known: &mut Known,
) -> Result<(), WriteError> {
    Writer::new(job, keeper, cancel, Some(known))?.plan_all()
}

/// As [`write`], reading the document only where it is not yet `known`.
pub fn write_again(
    job: &Job<'_>,
    keeper: &mut dyn Keeper,
    cancel: &CancelToken,
    known: &mut Known,
) -> Result<Done, WriteError> {
    Writer::new(job, keeper, cancel, Some(known))?.run(None)
}

/// The keys and values, where the method needs them, and what is known of each chunk.
type Planning = (Option<Cache>, Vec<ChunkUtility>, Vec<ChunkSteps>);

/// The parts of the variance of a step's gradient before any step, from `draws` batches a chunk of
/// the document's first segment.
pub fn variance(
    job: &Job<'_>,
    keeper: &mut dyn Keeper,
    cancel: &CancelToken,
    known: &mut Known,
    draws: usize,
) -> Result<GradientVariance, WriteError> {
    Writer::new(job, keeper, cancel, Some(known))?.variance(draws)
}

struct Writer<'a, 'k> {
    job: &'a Job<'a>,
    keeper: &'k mut dyn Keeper,
    cancel: &'a CancelToken,
    known: Option<&'k mut Known>,
    lead: Vec<u32>,
    tokens: Tokens,
    seconds: PhaseSeconds,
    peak_bytes: u64,
    /// Steps taken, over all segments.
    step: usize,
    /// Steps that the last checkpoint holds.
    kept: usize,
    /// The last state under which a loss was a number.
    good: Option<Checkpoint>,
    /// Of the segment's tokens, between its planning and its first step.
    surprisal: Vec<Option<f32>>,
}

impl<'a, 'k> Writer<'a, 'k> {
    fn new(
        job: &'a Job<'a>,
        keeper: &'k mut dyn Keeper,
        cancel: &'a CancelToken,
        known: Option<&'k mut Known>,
    ) -> Result<Self, WriteError> {
        job.settings.check().map_err(WriteError::Settings)?;
        let tokens = Tokens::of(job.model, &job.document.text)?;
        if tokens.ids.len() < 2 {
            return Err(WriteError::NothingToLearn);
        }
        Ok(Writer {
            lead: Frame::new(job.model)?.lead,
            job,
            keeper,
            cancel,
            known,
            tokens,
            seconds: PhaseSeconds::default(),
            peak_bytes: 0,
            step: 0,
            kept: 0,
            good: None,
            surprisal: Vec::new(),
        })
    }

    fn run(mut self, resume: Option<Resume>) -> Result<Done, WriteError> {
        let segments = segments(self.tokens.ids.len(), self.room()?);
        if resume.is_none() {
            let started = self.started(segments.len());
            self.tell(&Event::Started(Box::new(started)))?;
        }
        let mut resume = resume;
        let skipped = resume.as_ref().map_or(0, |r| r.checkpoint.segment);
        for (index, range) in segments.iter().enumerate().skip(skipped) {
            let budget = |index| budget_of(self.job.settings.budget, &segments, index);
            let (before, budget) = ((0..index).map(budget).sum(), budget(index));
            let segment = self.segment(index, range.clone());
            self.write_segment(segment, before, budget, resume.take())?;
        }
        let done = Done {
            steps: self.step,
            seconds: self.seconds,
            peak_bytes: self.peak_bytes,
        };
        self.tell(&Event::Done(done.clone()))?;
        Ok(done)
    }

    fn plan_all(mut self) -> Result<(), WriteError> {
        let segments = segments(self.tokens.ids.len(), self.room()?);
        let started = self.started(segments.len());
        self.tell(&Event::Started(Box::new(started)))?;
        for (index, range) in segments.iter().enumerate() {
            let budget = budget_of(self.job.settings.budget, &segments, index);
            let segment = self.segment(index, range.clone());
            self.plan(&segment, budget, self.options())?;
        }
        Ok(())
    }

    fn variance(mut self, draws: usize) -> Result<GradientVariance, WriteError> {
        let job = self.job;
        let segments = segments(self.tokens.ids.len(), self.room()?);
        let segment = self.segment(0, segments[0].clone());
        let options = self.options();
        let (cache, chunks, _) = self.plan(&segment, job.settings.budget, options)?;
        let origin = self.origin()?;
        let ranges: Vec<Range<usize>> = chunks.into_iter().map(|c| c.tokens).collect();
        let (device, model) = (job.device, job.transformer);
        let mut learner =
            Learner::new(device, model, segment, job.settings, origin, cache, options)?;
        let phase = Phase::Steps;
        gradient_variance(&mut learner, &ranges, draws, &mut |done, total| {
            // A keeper that cannot show progress misses nothing else here.
            let _ = self.keeper.event(&Event::Progress { phase, done, total });
        })
    }

    fn options(&self) -> SessionOptions<'a> {
        SessionOptions {
            cancel: Some(self.cancel),
            profile: None,
        }
    }

    /// Document tokens that fit the context beside what opens the text and what the reader needs.
    fn room(&self) -> Result<usize, WriteError> {
        let context = self.job.model.config.context;
        let memory = match self.job.settings.method {
            Method::Gradmem => self.job.settings.prefix,
            Method::Gdwm | Method::Lora => 0,
        };
        let taken = self.lead.len() + question_room(context) + memory;
        let room = context.saturating_sub(taken);
        if room < 2 {
            let beside = match memory {
                0 => String::new(),
                rows => format!(" beside {rows} memory tokens; use a smaller --prefix"),
            };
            return Err(WriteError::Settings(format!(
                "the model's context of {context} tokens is too short to write from{beside}"
            )));
        }
        Ok(room)
    }

    fn started(&self, segments: usize) -> Started {
        let (job, config) = (self.job, &self.job.model.config);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Started {
            version: EVENTS_VERSION,
            document: DocumentInfo {
                name: job.document.name.clone(),
                sha256: job.document.sha256.clone(),
                bytes: job.document.text.len(),
                tokens: self.tokens.ids.len(),
            },
            model: ModelInfo {
                name: job.model.name.clone(),
                fingerprint: job.fingerprint.to_owned(),
                parameters: config.parameters(),
            },
            device: job.device.name().to_owned(),
            settings: job.settings.clone(),
            segments,
            unix_secs: now.map_or(0, |d| d.as_secs()),
        }
    }

    fn segment(&self, index: usize, tokens: Range<usize>) -> Segment {
        let settings = self.job.settings;
        let held_out = held_out(settings, tokens.len());
        Segment {
            index,
            lead: self.lead.len(),
            ids: [&self.lead, &self.tokens.ids[tokens.clone()]].concat(),
            tokens,
            held_out,
        }
    }

    /// Writes one segment; `before` steps belong to those before it.
    fn write_segment(
        &mut self,
        segment: Segment,
        before: usize,
        budget: usize,
        resume: Option<Resume>,
    ) -> Result<(), WriteError> {
        let job = self.job;
        let options = self.options();
        if resume.is_none() {
            self.tell(&Event::SegmentStarted {
                segment: segment.index,
                tokens: segment.len(),
            })?;
        }
        let (cache, chunks, steps) = match &resume {
            Some(resume) => {
                let cache = match job.settings.method {
                    Method::Gdwm => Some(self.read_again(&segment, options)?),
                    Method::Lora | Method::Gradmem => None,
                };
                (cache, resume.chunks.clone(), resume.steps.clone())
            }
            None => self.plan(&segment, budget, options)?,
        };
        let cache_bytes = match &cache {
            Some(_) => Cache::bytes(&job.model.config, segment.ids.len()),
            None => 0,
        };
        let mut learner = Learner::new(
            job.device,
            job.transformer,
            segment.clone(),
            job.settings,
            self.origin()?,
            cache,
            options,
        )?;
        let mut done = 0;
        if let Some(resume) = &resume {
            learner.restore(&resume.checkpoint.state)?;
            self.step = resume.checkpoint.step;
            self.kept = self.step;
            done = self.step.saturating_sub(before);
            self.tell(&Event::Resumed { step: self.step })?;
        } else if job.settings.method != Method::Gdwm {
            self.evaluate(&mut learner, &segment, &chunks, When::Before)?;
        }
        self.steps(&mut learner, &segment, &chunks, &steps, done)?;
        if job.settings.evaluate {
            self.evaluate(&mut learner, &segment, &chunks, When::After)?;
        }
        self.note_peak(cache_bytes + learner.bytes());
        let started = Instant::now();
        self.keeper.memory(&segment, &learner.memory()?)?;
        self.seconds.save += started.elapsed().as_secs_f64();
        Ok(())
    }

    /// Reads the segment as a whole and locally, weighs its chunks and shares out the steps. The
    /// cache stays where the method needs it.
    fn plan(
        &mut self,
        segment: &Segment,
        budget: usize,
        options: SessionOptions<'a>,
    ) -> Result<Planning, WriteError> {
        let job = self.job;
        let bytes = self.tokens.bytes[segment.tokens.clone()].to_vec();
        let chunks = self.chunks(&bytes);
        let (cache, full) = self.read(segment, options)?;
        let local = match needs_utility(job.settings.allocate) {
            true => self.read_locally(segment, &chunks, &full, options)?,
            false => vec![None; segment.len()],
        };
        let (ids, window) = (segment.body(), job.settings.window);
        let utilities = utility::of_chunks(&chunks, &bytes, ids, &full, &local, window);
        self.surprisal = full;
        self.tell(&Event::Utility {
            segment: segment.index,
            chunks: utilities.clone(),
        })?;
        let steps = super::plan::share_out(job.settings, &utilities, budget, segment.index)?;
        self.tell(&Event::Allocated {
            segment: segment.index,
            steps: steps.clone(),
        })?;
        let cache = (job.settings.method == Method::Gdwm).then_some(cache);
        Ok((cache, utilities, steps))
    }

    /// What memory tokens may start from, after [`Writer::plan`]; a run that goes on has its own.
    fn origin(&mut self) -> Result<Origin, WriteError> {
        let model = self.job.model;
        let learned = match self.job.settings.method {
            Method::Gradmem => GradMem::of(&model.file, &model.config)?,
            Method::Gdwm | Method::Lora => None,
        };
        Ok(Origin {
            surprisal: std::mem::take(&mut self.surprisal),
            learned,
        })
    }

    fn chunks(&self, bytes: &[Range<usize>]) -> Vec<Chunk> {
        let settings = self.job.settings;
        match settings.chunking {
            Chunking::Fixed => {
                let mut chunks = chunk::fixed(bytes.len(), settings.chunk);
                chunk::add_titles(&mut chunks, self.job.document, bytes);
                chunks
            }
            Chunking::Structure => chunk::structural(self.job.document, bytes, settings.chunk),
        }
    }

    fn note_peak(&mut self, bytes: u64) {
        self.peak_bytes = self.peak_bytes.max(bytes);
    }

    fn tell(&mut self, event: &Event) -> Result<(), WriteError> {
        self.keeper.event(event)
    }
}

/// Whether the shares depend on utility, so that the local pass is needed.
fn needs_utility(allocate: Allocate) -> bool {
    matches!(
        allocate,
        Allocate::Utility | Allocate::Signed | Allocate::Topk
    )
}

/// Ranges of tokens of nearly equal length, each at most `room`.
fn segments(tokens: usize, room: usize) -> Vec<Range<usize>> {
    let count = tokens.div_ceil(room).max(1);
    (0..count)
        .map(|i| tokens * i / count..tokens * (i + 1) / count)
        .collect()
}

/// Tokens kept out of learning, the same however the document is cut into chunks.
fn held_out(settings: &WriteSettings, tokens: usize) -> Vec<Range<usize>> {
    let parts: Vec<Range<usize>> = (0..tokens)
        .step_by(HELD_OUT_WITHIN)
        .map(|start| start..tokens.min(start + HELD_OUT_WITHIN))
        .collect();
    choose_held_out(&parts, settings.held_out, HELD_OUT_RUN, settings.seed)
}

/// Tokens of a run that is kept out together: neighbours tell of each other.
const HELD_OUT_RUN: usize = 32;
/// Every so many tokens have their share of such runs.
const HELD_OUT_WITHIN: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn segments_cover_the_document_and_share_the_budget(
            tokens in 1usize..100_000, room in 1usize..9000, budget in 0usize..5000,
        ) {
            let all = segments(tokens, room);
            prop_assert_eq!(all[0].start, 0);
            prop_assert_eq!(all.last().unwrap().end, tokens);
            prop_assert!(all.windows(2).all(|w| w[0].end == w[1].start));
            prop_assert!(all.iter().all(|s| !s.is_empty() && s.len() <= room));
            let shares: usize = (0..all.len()).map(|i| budget_of(budget, &all, i)).sum();
            prop_assert_eq!(shares, budget);
        }
    }
}
