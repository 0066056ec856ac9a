//! What a run tells while it goes on. The command line prints these events, the window draws them,
//! a JSONL file keeps them (one a line), and a replay feeds them back. Nothing else reports
//! progress.
//!
//! Losses and surprisals are in nats a token; times in seconds. Tokens and chunks are counted
//! within their segment.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::settings::WriteSettings;
pub use crate::memory::store::{DocumentInfo, ModelInfo};

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
        segment: usize,
        tokens: usize,
    },
    /// How far a phase has come, for progress bars; not kept in files.
    Progress {
        phase: Phase,
        done: usize,
        total: usize,
    },
    /// The whole segment was read once: its surprisals given everything before.
    Prefilled {
        segment: usize,
        tokens: usize,
        seconds: f64,
        /// `-log P_full` of each token; `None` where nothing came before.
        surprisal: Vec<Option<f32>>,
    },
    /// The local pass: surprisals given only the nearest tokens.
    LocallyRead {
        segment: usize,
        window: usize,
        seconds: f64,
        surprisal: Vec<Option<f32>>,
    },
    Utility {
        segment: usize,
        chunks: Vec<ChunkUtility>,
    },
    /// Steps planned for each chunk.
    Allocated {
        segment: usize,
        steps: Vec<ChunkSteps>,
    },
    /// Mean loss of each chunk before any step, and after the last. Before a step `gdwm` reads as the
    /// first pass did, whose surprisals it tells instead.
    Evaluated(Evaluated),
    Step(Step),
    ChunkDone {
        segment: usize,
        chunk: usize,
    },
    /// Everything up to `step` is safe on disk.
    Checkpointed {
        step: usize,
    },
    Paused,
    Resumed {
        step: usize,
    },
    /// The last event of a run that reached its end.
    Done(Done),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    pub version: u32,
    pub document: DocumentInfo,
    pub model: ModelInfo,
    pub device: String,
    pub settings: WriteSettings,
    /// Parts the document is written in; 1 where it fits the context.
    pub segments: usize,
    /// Seconds since 1970.
    pub unix_secs: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Prefill,
    Local,
    Evaluate,
    Steps,
    Save,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    Before,
    After,
}

/// How much a chunk's tokens depend on context that the local pass did not see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkUtility {
    pub tokens: Range<usize>,
    /// Bytes of the document's text.
    pub text: Range<usize>,
    /// The heading it stands under, where there is one.
    pub title: Option<String>,
    /// Mean of `|log P_full - log P_local|`.
    pub utility: f64,
    /// Mean of `log P_full - log P_local`.
    pub signed: f64,
    /// Mean of `-log P_full`.
    pub surprisal: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    pub segment: usize,
    pub when: When,
    pub seconds: f64,
    /// A chunk each.
    pub losses: Vec<f64>,
    /// Over the tokens of each chunk that no step learns from; `None` where there are none.
    pub held_out: Vec<Option<f64>>,
    /// `-log P` of each token as the memory's reader would see it.
    pub surprisal: Vec<Option<f32>>,
}

/// Steps of one chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkSteps {
    pub coverage: u32,
    pub utility: u32,
}

impl ChunkSteps {
    pub fn total(self) -> u32 {
        self.coverage + self.utility
    }
}

/// Why a step was given to its chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    Coverage,
    Utility,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub segment: usize,
    /// `None` for steps that draw from the whole segment.
    pub chunk: Option<usize>,
    /// From 1, over all segments.
    pub step: usize,
    pub of: usize,
    pub kind: StepKind,
    /// Mean loss of the tokens learned from, before the step.
    pub loss: f64,
    /// Of the gradients before clipping.
    pub grad_norm: f64,
    /// Tokens learned from.
    pub tokens: usize,
    pub seconds: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    pub steps: usize,
    pub seconds: PhaseSeconds,
    /// Bytes at the most of the weights on the device, keys and values, activations, memory and
    /// optimiser; not what the program takes beside them.
    pub peak_bytes: u64,
}

/// Where a run's time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseSeconds {
    pub prefill: f64,
    pub local: f64,
    pub evaluate: f64,
    pub steps: f64,
    pub save: f64,
}

impl PhaseSeconds {
    pub fn total(&self) -> f64 {
        self.prefill + self.local + self.evaluate + self.steps + self.save
    }
}
