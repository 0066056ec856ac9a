//! What a training run reports while it goes on, one JSON object a line where it is kept.

use serde::{Deserialize, Serialize};

use super::settings::{Stage, TrainSettings};

/// The version of this format.
pub const EVENTS_VERSION: u32 = 1;

/// One event of a run. Losses are in nats a token, times in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first event of every run.
    Started {
        version: u32,
        settings: Box<TrainSettings>,
        /// Numbers that are trained.
        parameters: usize,
        device: String,
    },
    /// A step was taken.
    Step(Step),
    /// The running share of right answers has passed its mark, and the next stage begins.
    Advanced {
        /// Steps taken so far.
        step: u64,
        /// Number of the stage that begins, from 0.
        stage: usize,
    },
    /// The net was tested on samples that it was not trained on.
    Tested(Tested),
    /// Everything up to `step` is safe on disk.
    Checkpointed { step: u64 },
    /// The run goes on after a stop; steps after `step` that were reported before no longer count.
    Resumed { step: u64 },
    /// The last event of a run that reached its end.
    Done {
        step: u64,
        /// Seconds of training, over all sittings.
        seconds: f64,
    },
}

/// A step of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Number of the step, from 1.
    pub step: u64,
    /// Number of its stage, from 0.
    pub stage: usize,
    /// Mean loss of the answers' tokens.
    pub loss: f64,
    /// Share of questions answered exactly.
    pub exact: f64,
    /// Share of right tokens at each place of the answer.
    pub by_place: Vec<f64>,
    /// The running share that decides when a stage ends.
    pub running: f64,
    /// Mean loss of the contexts' tokens before each step on the memory.
    pub writing: Vec<f64>,
    pub lr: f32,
    /// Norm of all gradients before clipping.
    pub norm: f64,
    /// Seconds of training so far, over all sittings.
    pub seconds: f64,
}

/// Exact answers at one stage's difficulty, by the number of steps on the memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// Steps of training taken so far.
    pub step: u64,
    pub stage: Stage,
    pub samples: usize,
    pub rows: Vec<TestRow>,
    /// The base model without a memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_memory: Option<TestRow>,
    /// The base model with the whole context in front of each question; absent where that does not
    /// fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_context: Option<TestRow>,
}

/// One number of steps on the memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TestRow {
    pub inner_steps: usize,
    pub exact: f64,
    pub by_place: Vec<f64>,
    pub loss: f64,
}
