//! What a run reports while it goes on. The command line prints these events, the window draws
//! them, a JSONL file keeps them (one a line), and a replay feeds them back. Nothing else reports
//! progress.
//!
//! Losses and surprisals are in nats a token; times in seconds. Tokens and chunks are counted
//! within their segment.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::settings::WriteSettings;
pub use crate::memory::store::{DocumentInfo, ModelInfo};
use crate::words;

/// The version of this format.
pub const EVENTS_VERSION: u32 = 1;

/// One event of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first event of every run.
    Started(Box<Started>),
    /// A part of the document that fits the model's context, to be written next.
    SegmentStarted {
        /// Number of the segment, from 0.
        segment: usize,
        /// Tokens of the document in the segment.
        tokens: usize,
        /// Byte of the document's text at which its first token begins.
        #[serde(default)]
        from: usize,
        /// Bytes of the text from the end of the token before to the end of each token, so that
        /// tokens are found in the text without the model; empty in runs of earlier versions.
        #[serde(default)]
        lengths: Vec<u32>,
    },
    /// How far a phase has come, for progress bars; not kept in files.
    Progress {
        /// The phase that is going on.
        phase: Phase,
        /// Units of work done: tokens of the segment in both passes, chunks while losses are measured,
        /// steps.
        done: usize,
        /// Units of work in all.
        total: usize,
    },
    /// The whole segment was read once: its surprisals given everything before.
    Prefilled {
        /// Number of the segment, from 0.
        segment: usize,
        /// Tokens of the document in the segment.
        tokens: usize,
        /// Seconds that reading took.
        seconds: f64,
        /// `-log P_full` of each token; `None` where nothing came before.
        surprisal: Vec<Option<f32>>,
    },
    /// The local pass: surprisals given only the nearest tokens.
    LocallyRead {
        /// Number of the segment, from 0.
        segment: usize,
        /// Tokens of context that each token was read with, at the least; twice as many at the
        /// most.
        window: usize,
        /// Seconds that reading took.
        seconds: f64,
        /// `-log P_local` of each token; `None` where nothing came before.
        surprisal: Vec<Option<f32>>,
    },
    /// How much each chunk of a segment gains from context that is far away.
    Utility {
        /// Number of the segment, from 0.
        segment: usize,
        /// The chunks of the segment, in order.
        chunks: Vec<ChunkUtility>,
    },
    /// Steps planned for each chunk.
    Allocated {
        /// Number of the segment, from 0.
        segment: usize,
        /// Planned steps of each chunk, in order.
        steps: Vec<ChunkSteps>,
    },
    /// Mean loss of each chunk before any step, and after the last. A `gdwm` run sends none before
    /// its steps: those losses are the mean surprisals of [`Event::Prefilled`].
    Evaluated(Evaluated),
    /// A gradient step was taken.
    Step(Step),
    /// The last step of a chunk was taken.
    ChunkDone {
        /// Number of the segment, from 0.
        segment: usize,
        /// Number of the chunk in its segment, from 0.
        chunk: usize,
    },
    /// Everything up to `step` is safe on disk.
    Checkpointed {
        /// Steps that the checkpoint holds, over all segments; 0 once every part of a document is
        /// read.
        step: usize,
    },
    /// The run waits; a checkpoint was kept before.
    Paused,
    /// The run goes on after a pause or a stop.
    Resumed {
        /// Steps taken before; those after it that were reported earlier no longer count.
        step: usize,
    },
    /// The last event of a run that reached its end.
    Done(Done),
}

/// What a run is about to do, and with what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// Version of the events' format, [`EVENTS_VERSION`] at the time of writing.
    pub version: u32,
    /// The document that is written.
    pub document: DocumentInfo,
    /// The model whose memory is written.
    pub model: ModelInfo,
    /// Name of the device that the model runs on.
    #[serde(deserialize_with = "words::name")]
    pub device: String,
    /// Settings of the run, with every default filled in.
    pub settings: WriteSettings,
    /// Parts the document is written in; 1 where it fits the context.
    pub segments: usize,
    /// Start of the run, in seconds since 1970.
    pub unix_secs: u64,
}

/// A phase of a run that takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Reading the whole segment once.
    Prefill,
    /// Reading with nearby context only.
    Local,
    /// Measuring the loss of each chunk.
    Evaluate,
    /// Gradient steps.
    Steps,
    /// Writing checkpoints and memories to disk.
    Save,
}

impl Phase {
    /// All phases, in the order of the work.
    pub const ALL: [Phase; 5] = [
        Phase::Prefill,
        Phase::Local,
        Phase::Steps,
        Phase::Evaluate,
        Phase::Save,
    ];

    /// What it is called, wherever it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Prefill => "Reading",
            Phase::Local => "Local pass",
            Phase::Steps => "Learning",
            Phase::Evaluate => "Measuring",
            Phase::Save => "Saving",
        }
    }
}

/// When losses were measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Before any step.
    Before,
    /// After the last step.
    After,
}

/// How much a chunk's tokens depend on context that the local pass did not see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkUtility {
    /// Tokens of the chunk, counted from the first of the segment.
    pub tokens: Range<usize>,
    /// Range of bytes of the chunk in the document's text.
    pub text: Range<usize>,
    /// The heading that the chunk lies under, where there is one.
    #[serde(default, deserialize_with = "words::some_name")]
    pub title: Option<String>,
    /// Mean of `|log P_full - log P_local|` over the chunk's tokens, in nats.
    pub utility: f64,
    /// Mean of `log P_full - log P_local` over the chunk's tokens, in nats.
    pub signed: f64,
    /// Mean of `-log P_full` over the chunk's tokens, in nats.
    pub surprisal: f64,
}

/// Losses of a segment's chunks, measured at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// Number of the segment, from 0.
    pub segment: usize,
    /// When they were measured.
    pub when: When,
    /// Seconds that measuring took.
    pub seconds: f64,
    /// Mean loss of each chunk, in nats a token.
    pub losses: Vec<f64>,
    /// Mean loss over the tokens of each chunk that no step learns from; `None` where there are
    /// none.
    pub held_out: Vec<Option<f64>>,
    /// `-log P` of each token as the memory's reader would see it.
    pub surprisal: Vec<Option<f32>>,
}

/// Steps of one chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkSteps {
    /// Steps that the chunk gets because every chunk gets some.
    pub coverage: u32,
    /// Steps that the chunk gets because of its share of the rest.
    pub utility: u32,
}

impl ChunkSteps {
    /// Steps in all.
    pub fn total(self) -> u32 {
        self.coverage.saturating_add(self.utility)
    }
}

/// Why a step was given to its chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Every chunk gets some steps.
    Coverage,
    /// The chunk's share of the steps beyond coverage, by whatever rule these are shared.
    Utility,
}

/// One gradient step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Number of the segment, from 0.
    pub segment: usize,
    /// Number of the chunk in its segment, from 0; `None` for steps that draw from the whole
    /// segment.
    pub chunk: Option<usize>,
    /// Number of the step, from 1 over all segments.
    pub step: usize,
    /// Steps of the whole run.
    pub of: usize,
    /// Why the chunk got the step.
    pub kind: StepKind,
    /// Mean loss of the tokens learned from, before the step, in nats.
    pub loss: f64,
    /// Mean loss of the same tokens before any step, in nats; `None` where it was not measured.
    #[serde(default)]
    pub before: Option<f64>,
    /// Norm of the gradients before clipping.
    pub grad_norm: f64,
    /// Tokens learned from.
    pub tokens: usize,
    /// Seconds that the step took.
    pub seconds: f64,
}

/// What a run took that reached its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Steps taken, over all segments.
    pub steps: usize,
    /// Where the time went, in the session that ended the run.
    pub seconds: PhaseSeconds,
    /// Bytes at the most of the weights on the device, keys and values, activations, memory and
    /// optimiser; whatever else the program needs is not counted.
    pub peak_bytes: u64,
}

/// Where a run's time went, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseSeconds {
    /// Reading each segment once as a whole.
    pub prefill: f64,
    /// Reading with nearby context only.
    pub local: f64,
    /// Measuring the loss of each chunk.
    pub evaluate: f64,
    /// Gradient steps.
    pub steps: f64,
    /// Writing checkpoints and memories to disk.
    pub save: f64,
}

impl PhaseSeconds {
    /// What one phase took.
    pub fn of(&self, phase: Phase) -> f64 {
        match phase {
            Phase::Prefill => self.prefill,
            Phase::Local => self.local,
            Phase::Steps => self.steps,
            Phase::Evaluate => self.evaluate,
            Phase::Save => self.save,
        }
    }

    /// All phases together, in seconds.
    pub fn total(&self) -> f64 {
        self.prefill + self.local + self.evaluate + self.steps + self.save
    }
}
