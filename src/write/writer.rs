//! How a document gets into a memory: read it whole, read it locally, weigh its chunks, share out
//! the steps, take them.

mod footprint;
mod parts;
mod reading;
mod stepping;
mod survey;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::document::Document;
use super::error::WriteError;
use super::event::*;
use super::learner::{Learner, Segment};
use super::method::Start;
use super::prompt::Prompt;
use super::settings::WriteSettings;
use super::variance::{GradientVariance, gradient_variance};
use crate::engine::{CancelToken, DType, EngineError};
use crate::memory::{Content, Rows};
use crate::model::ModelError;
use crate::model::loaded::Loaded;
use crate::model::model_file::Model;
use crate::model::session::{Session, SessionOptions};
use crate::model::train::TrainerState;
use crate::model::transformer::Cache;

pub use footprint::{Footprint, footprint};
use parts::{held_out, room, segments, take_no_more};
pub use reading::ReadBefore;
use survey::{Reading, Share};

/// What a run needs: a model, a document and settings.
pub struct Job<'a> {
    /// The model on its device.
    pub loaded: &'a Loaded,
    /// The model's fingerprint, as `memory::fingerprint` makes it.
    pub fingerprint: &'a str,
    /// The document that is written.
    pub document: &'a Document,
    /// The document's text as the model's tokens.
    pub tokens: &'a Tokens,
    /// How the document is written.
    pub settings: &'a WriteSettings,
}

/// Where to go on after a stop.
#[derive(Clone, Debug, PartialEq)]
pub struct RunState {
    /// Number of the segment whose steps were going on, from 0.
    pub segment: usize,
    /// Steps taken, over all segments.
    pub step: usize,
    /// The trained numbers and the optimiser's moments.
    pub state: TrainerState,
}

/// Everything that a run hands out, and what it may go on from.
pub trait Keeper {
    /// Takes in what just happened. An error ends the run.
    fn event(&mut self, event: &Event) -> Result<(), WriteError>;

    /// Makes everything up to the checkpoint safe.
    fn checkpoint(&mut self, _checkpoint: &RunState) -> Result<(), WriteError> {
        Ok(())
    }

    /// A segment's memory is finished.
    fn memory(&mut self, segment: &Segment, memory: &[Content]) -> Result<(), WriteError>;

    /// Whether to wait before the next step.
    fn paused(&self) -> bool {
        false
    }
}

/// A stopped run: its last checkpoint, and what its events said of its segments.
#[derive(Clone, Debug)]
pub struct Resume {
    /// Where the steps go on.
    pub checkpoint: RunState,
    /// What was known of each segment before its steps, by the segment's number.
    pub told: BTreeMap<usize, Surveyed>,
    /// Take no more steps, and make memories of what was learned.
    pub finish: bool,
}

/// What is known of a segment before its steps.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// The chunks with their utilities, in order.
    pub chunks: Vec<ChunkUtility>,
    /// Planned steps of each chunk, in order.
    pub steps: Vec<ChunkSteps>,
    /// `-log P` of each token, where it is known.
    pub surprisal: Vec<Option<f32>>,
}

/// A document as tokens.
#[derive(Clone)]
pub struct Tokens {
    /// Token ids, in the order of the text.
    pub ids: Vec<u32>,
    /// Range of bytes of the text that each token came from.
    pub bytes: Vec<Range<usize>>,
}

impl Tokens {
    /// Cuts a text into tokens; `progress` is called with the bytes done.
    pub fn of(
        model: &Model,
        text: &str,
        cancel: &CancelToken,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Tokens, WriteError> {
        let mut go_on = |done| {
            progress(done);
            !cancel.is_cancelled()
        };
        let placed = model.tokenizer.encode_document(text, &mut go_on);
        let placed = placed.map_err(ModelError::from)?;
        let (ids, bytes) = placed.ok_or(EngineError::Cancelled)?;
        Ok(Tokens { ids, bytes })
    }
}

/// Writes a document into memories, one for each segment, and hands everything to `keeper`.
pub fn write(
    job: &Job<'_>,
    keeper: &mut dyn Keeper,
    cancel: &CancelToken,
    resume: Option<Resume>,
) -> Result<Done, WriteError> {
    Writer::new(job, keeper, cancel, None)?.run_or_stop(resume)
}

/// Reads, weighs the chunks and shares out the steps, and takes none of them.
pub fn plan(
    job: &Job<'_>,
    keeper: &mut dyn Keeper,
    cancel: &CancelToken,
) -> Result<(), WriteError> {
    Writer::new(job, keeper, cancel, None)?.plan_all()
}

/// Number of chunks of each part that the document would be written in; nothing is read.
pub fn chunks_of_parts(job: &Job<'_>) -> Result<Vec<usize>, WriteError> {
    struct Nobody;
    impl Keeper for Nobody {
        fn event(&mut self, _: &Event) -> Result<(), WriteError> {
            Ok(())
        }
        fn memory(&mut self, _: &Segment, _: &[Content]) -> Result<(), WriteError> {
            Ok(())
        }
    }
    let (mut nobody, never) = (Nobody, CancelToken::new());
    let writer = Writer::new(job, &mut nobody, &never, None)?;
    let parts = segments(job.tokens.ids.len(), writer.room()?);
    let chunks = |part: Range<usize>| writer.chunks(&job.tokens.bytes[part]).len();
    Ok(parts.into_iter().map(chunks).collect())
}

/// As [`plan`], reading the document only where it is not yet `known`.
pub fn plan_again(
    job: &Job<'_>,
    keeper: &mut dyn Keeper,
    cancel: &CancelToken,
    known: &mut ReadBefore,
) -> Result<(), WriteError> {
    Writer::new(job, keeper, cancel, Some(known))?.plan_all()
}

/// As [`write()`], reading the document only where it is not yet `known`.
pub fn write_again(
    job: &Job<'_>,
    keeper: &mut dyn Keeper,
    cancel: &CancelToken,
    known: &mut ReadBefore,
) -> Result<Done, WriteError> {
    Writer::new(job, keeper, cancel, Some(known))?.run_or_stop(None)
}

/// The parts of the variance of a step's gradient before any step, from `draws` batches a chunk of
/// the document's first segment.
pub fn variance(
    job: &Job<'_>,
    keeper: &mut dyn Keeper,
    cancel: &CancelToken,
    known: &mut ReadBefore,
    draws: usize,
) -> Result<GradientVariance, WriteError> {
    Writer::new(job, keeper, cancel, Some(known))?.variance(draws)
}

/// A segment on its way to a memory.
struct SegmentRun {
    segment: Segment,
    /// Number of steps of the segments before it.
    before: usize,
    of_several: bool,
}

struct Writer<'a, 'k> {
    job: &'a Job<'a>,
    keeper: &'k mut dyn Keeper,
    cancel: &'a CancelToken,
    known: Option<&'k mut ReadBefore>,
    lead: Vec<u32>,
    tokens: &'a Tokens,
    seconds: PhaseSeconds,
    /// Most bytes held on the device so far, without the weights.
    peak_bytes: u64,
    /// Steps taken, over all segments.
    step: usize,
    /// Number of steps that the last checkpoint holds.
    kept: usize,
    /// Number of steps taken when the losses were last finite; the learner keeps the state of that
    /// time.
    good: Option<usize>,
    /// Bytes of the keys and values of segments that wait for their steps.
    waiting_bytes: u64,
}

impl<'a, 'k> Writer<'a, 'k> {
    fn new(
        job: &'a Job<'a>,
        keeper: &'k mut dyn Keeper,
        cancel: &'a CancelToken,
        known: Option<&'k mut ReadBefore>,
    ) -> Result<Self, WriteError> {
        job.settings.check()?;
        let tokens = job.tokens;
        if tokens.ids.len() < 2 {
            return Err(WriteError::NothingToLearn);
        }
        Ok(Writer {
            lead: Prompt::new(&job.loaded.model)?.lead,
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
            waiting_bytes: 0,
        })
    }

    /// A run that is stopped in whatever phase says up to which step it is kept.
    fn run_or_stop(mut self, resume: Option<Resume>) -> Result<Done, WriteError> {
        self.kept = resume.as_ref().map_or(0, |resume| resume.checkpoint.step);
        match self.run(resume) {
            Err(error) if error.is_cancelled() && self.kept > 0 => {
                Err(WriteError::Cancelled { step: self.kept })
            }
            other => other,
        }
    }

    fn run(&mut self, resume: Option<Resume>) -> Result<Done, WriteError> {
        let segments = segments(self.tokens.ids.len(), self.room()?);
        let (mut checkpoint, shares) = match resume {
            Some(mut resume) => {
                let mut shares = self.survey_again(&segments, &mut resume.told)?;
                if resume.finish {
                    take_no_more(&mut shares, resume.checkpoint.step);
                }
                (Some(resume.checkpoint), shares)
            }
            None => {
                let started = self.started(segments.len());
                self.tell(&Event::Started(Box::new(started)))?;
                (None, self.survey(&segments)?)
            }
        };
        let skipped = checkpoint.as_ref().map_or(0, |c| c.segment);
        let mut before = 0;
        for (index, share) in shares.into_iter().enumerate() {
            let total = share.total();
            if index >= skipped {
                let segment = self.segment(index, segments[index].clone());
                let part = SegmentRun {
                    segment,
                    before,
                    of_several: segments.len() > 1,
                };
                self.write_segment(part, share, checkpoint.take())?;
            }
            before += total;
        }
        let done = Done {
            steps: self.step,
            seconds: self.seconds,
            peak_bytes: self.job.loaded.transformer.weight_bytes() + self.peak_bytes,
        };
        self.tell(&Event::Done(done.clone()))?;
        Ok(done)
    }

    fn plan_all(mut self) -> Result<(), WriteError> {
        let segments = segments(self.tokens.ids.len(), self.room()?);
        let started = self.started(segments.len());
        self.tell(&Event::Started(Box::new(started)))?;
        for (index, share) in self.survey(&segments)?.into_iter().enumerate() {
            if share.reading.is_none() {
                let segment = self.begin(index, &segments[index])?;
                self.read_segment(&segment)?;
                self.tell(&Event::Allocated {
                    segment: index,
                    steps: share.steps,
                })?;
            }
        }
        Ok(())
    }

    fn variance(mut self, draws: usize) -> Result<GradientVariance, WriteError> {
        let job = self.job;
        let segments = segments(self.tokens.ids.len(), self.room()?);
        let segment = self.segment(0, segments[0].clone());
        let reading = self.read_segment(&segment)?;
        let ranges: Vec<Range<usize>> = reading.chunks.into_iter().map(|c| c.tokens).collect();
        let (settings, options) = (job.settings, self.options());
        let mut learner = Learner::new(
            job.loaded,
            segment,
            settings,
            &reading.surprisal,
            reading.cache,
            options,
        )?;
        let phase = Phase::Steps;
        gradient_variance(&mut learner, &ranges, draws, &mut |done, total| {
            // A keeper that cannot show progress misses nothing else here.
            let _ = self.keeper.event(&Event::Progress { phase, done, total });
        })
    }

    fn options(&self) -> SessionOptions {
        SessionOptions::stopped_by(self.cancel)
    }

    fn session(&self, capacity: usize) -> Result<Session, ModelError> {
        let loaded = self.job.loaded;
        Session::new(
            &loaded.device,
            &loaded.transformer,
            capacity,
            self.options(),
        )
    }

    /// Document tokens that fit the context besides what opens the text and what the reader needs.
    fn room(&self) -> Result<usize, WriteError> {
        let context = self.job.loaded.config().context;
        let room = room(context, self.lead.len(), self.job.settings);
        if room < 2 {
            return Err(WriteError::ContextTooShort {
                context,
                memory_tokens: self.job.settings.method.positions(self.job.settings),
            });
        }
        Ok(room)
    }

    fn started(&self, segments: usize) -> Started {
        let (job, config) = (self.job, self.job.loaded.config());
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Started {
            version: EVENTS_VERSION,
            document: DocumentInfo {
                name: job.document.name.clone(),
                sha256: job.document.sha256.clone(),
                bytes: job.document.text.len(),
                tokens: self.tokens.ids.len(),
                pages: job.document.pages.as_ref().map(ToString::to_string),
            },
            model: ModelInfo {
                name: job.loaded.model.name.clone(),
                fingerprint: job.fingerprint.to_owned(),
                parameters: config.parameters(),
            },
            device: job.loaded.device.name().to_owned(),
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

    /// Writes one segment, from a checkpoint within it where there is one.
    fn write_segment(
        &mut self,
        part: SegmentRun,
        share: Share,
        checkpoint: Option<RunState>,
    ) -> Result<(), WriteError> {
        let job = self.job;
        let Share { steps, reading } = share;
        let segment = &part.segment;
        let untouched = steps.iter().all(|s| s.total() == 0);
        let mut reading = match reading {
            Some(reading) => {
                if part.of_several && checkpoint.is_none() {
                    self.begin(segment.index, &segment.tokens)?;
                }
                reading
            }
            None => {
                self.begin(segment.index, &segment.tokens)?;
                let reading = self.read_segment(segment)?;
                self.tell(&Event::Allocated {
                    segment: segment.index,
                    steps: steps.clone(),
                })?;
                reading
            }
        };
        if untouched && job.settings.method.reads_document() && checkpoint.is_none() {
            return self.leave_untouched(segment, reading);
        }
        let cache = self.cache_of(segment, reading.cache.take())?;
        let cache_bytes = cache.as_ref().map_or(0, |_| self.cache_bytes(segment));
        // That state is of the segment before.
        self.good = None;
        let rows = cache.as_ref().and_then(|cache| self.rows(segment, cache));
        let mut learner = Learner::new(
            job.loaded,
            segment.clone(),
            job.settings,
            &reading.surprisal,
            cache,
            self.options(),
        )?;
        let mut done = 0;
        if let Some(checkpoint) = &checkpoint {
            learner.restore(&checkpoint.state)?;
            self.step = checkpoint.step;
            self.kept = self.step;
            done = self.step.saturating_sub(part.before);
            self.tell(&Event::Resumed { step: self.step })?;
        } else if !job.settings.method.reads_document() {
            self.evaluate(&mut learner, segment, &reading.chunks, When::Before)?;
        }
        if part.of_several && self.step == 0 && job.settings.checkpoint > 0 {
            // Reading all segments is worth keeping.
            self.checkpoint(&learner, segment)?;
        }
        self.steps(&mut learner, segment, &reading, &steps, done)?;
        if job.settings.evaluate {
            self.evaluate(&mut learner, segment, &reading.chunks, When::After)?;
        }
        self.note_peak(cache_bytes + learner.bytes());
        let started = Instant::now();
        let mut memory = vec![learner.memory()?];
        memory.extend(rows);
        self.keeper.memory(segment, &memory)?;
        self.seconds.save += started.elapsed().as_secs_f64();
        Ok(())
    }

    /// A segment without steps keeps the memory that adds nothing, read as the first pass read it.
    fn leave_untouched(&mut self, segment: &Segment, reading: Reading) -> Result<(), WriteError> {
        if self.job.settings.evaluate {
            let surprisal = reading.surprisal.clone();
            self.tell_losses(segment, &reading.chunks, When::After, 0.0, surprisal)?;
        }
        let started = self.job.settings.method.start(&Start {
            loaded: self.job.loaded,
            segment,
            settings: self.job.settings,
            surprisal: &reading.surprisal,
        })?;
        let mut memory = vec![(started.finish)(started.initial)?];
        if self.kept_type().is_some() {
            let cache = self.cache_of(segment, reading.cache)?;
            memory.extend(cache.and_then(|cache| self.rows(segment, &cache)));
        }
        let started = Instant::now();
        self.keeper.memory(segment, &memory)?;
        self.seconds.save += started.elapsed().as_secs_f64();
        Ok(())
    }

    /// A segment's keys and values, where the method needs them: those that were kept, or computed
    /// again.
    fn cache_of(
        &mut self,
        segment: &Segment,
        kept: Option<Cache>,
    ) -> Result<Option<Cache>, WriteError> {
        if !self.job.settings.method.reads_document() {
            return Ok(None);
        }
        if kept.is_some() {
            let bytes = self.cache_bytes(segment);
            self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
            return Ok(kept);
        }
        self.read_again(segment).map(Some)
    }

    /// How the document's keys and values are kept, if they are.
    fn kept_type(&self) -> Option<DType> {
        let (settings, config) = (self.job.settings, self.job.loaded.config());
        settings.keep_rows.dtype(config, self.tokens.ids.len())
    }

    /// A segment's keys and values as they are kept beside its memory.
    fn rows(&self, segment: &Segment, cache: &Cache) -> Option<Content> {
        let (device, tokens) = (&self.job.loaded.device, segment.ids.len());
        let dtype = self.kept_type()?;
        Some(Rows::of(device, cache, tokens, dtype).into())
    }

    fn note_peak(&mut self, bytes: u64) {
        self.peak_bytes = self.peak_bytes.max(self.waiting_bytes + bytes);
    }

    fn tell(&mut self, event: &Event) -> Result<(), WriteError> {
        self.keeper.event(event)
    }
}
