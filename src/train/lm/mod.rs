//! Ordinary small language models from nothing: windows of texts, each token predicted from those
//! before it.

mod run;
mod store;

use serde::{Deserialize, Serialize};

pub use run::{LmKeeper, LmTrainer};
pub use store::LmFolder;

use super::error::TrainError;
use super::settings::{Data, NetShape, Schedule};
use crate::model::config::ModelConfig;
use crate::model::shapes;

/// A run from its first step to its last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LmSettings {
    pub layers: usize,
    pub hidden: usize,
    pub heads: usize,
    pub ffn: usize,
    /// Tokens of a window: the model's context.
    pub window: usize,
    /// Windows of a pass.
    pub batch: usize,
    /// Passes of a step.
    pub accumulate: usize,
    pub lr: f32,
    /// Steps over which the rate rises.
    pub warmup: u64,
    pub schedule: Schedule,
    /// Part of each weight, times the rate, that a step takes off; gains and biases are spared.
    pub weight_decay: f32,
    /// Global norm that gradients are scaled down to.
    pub clip: f32,
    pub seed: u64,
    /// Steps to take, if their number is given.
    pub steps: Option<u64>,
    /// Steps between two tests on what is kept from training.
    pub test_every: u64,
    pub data: Data,
}

impl Default for LmSettings {
    fn default() -> Self {
        LmSettings {
            layers: 4,
            hidden: 128,
            heads: 4,
            ffn: 512,
            window: 128,
            batch: 16,
            accumulate: 1,
            lr: 1e-3,
            warmup: 100,
            schedule: Schedule::Cosine,
            weight_decay: 0.1,
            clip: 1.0,
            seed: 1,
            steps: None,
            test_every: 200,
            data: Data {
                paths: Vec::new(),
                sha256: String::new(),
            },
        }
    }
}

impl LmSettings {
    /// The model, for so many token ids.
    pub fn config(&self, vocab: usize) -> ModelConfig {
        ModelConfig {
            context: self.window,
            ..shapes::llama(vocab, self.hidden, self.layers, self.heads, self.ffn)
        }
    }

    /// Refuses what cannot be trained.
    pub fn check(&self) -> Result<(), TrainError> {
        let shape = NetShape {
            layers: self.layers,
            hidden: self.hidden,
            heads: self.heads,
            ..NetShape::default()
        };
        shape.check()?;
        let sizes = [
            ("ffn", self.ffn, 1, 1 << 17),
            ("window", self.window, 2, 1 << 14),
            ("batch", self.batch, 1, 1 << 16),
            ("accumulate", self.accumulate, 1, 1 << 16),
        ];
        for (setting, value, least, most) in sizes {
            if !(least..=most).contains(&value) {
                let detail = format!("is {value}; {least} to {most} can be trained");
                return Err(TrainError::setting(setting, detail));
            }
        }
        let numbers = [("lr", self.lr), ("clip", self.clip)];
        for (setting, value) in numbers {
            if !(value.is_finite() && value > 0.0) {
                let detail = format!("is {value}; it must be above 0");
                return Err(TrainError::setting(setting, detail));
            }
        }
        if !(0.0..=1.0).contains(&self.weight_decay) {
            let detail = format!("is {}; it must lie between 0 and 1", self.weight_decay);
            return Err(TrainError::setting("weight decay", detail));
        }
        Ok(())
    }
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LmProgress {
    /// Steps taken.
    pub step: u64,
    /// Seconds of training, over all sittings.
    pub seconds: f64,
}

/// One event of a run. Losses are in nats a token, times in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LmEvent {
    /// The first event of every run.
    Started {
        version: u32,
        settings: Box<LmSettings>,
        /// Numbers that are trained.
        parameters: usize,
        /// Tokens that are learned from.
        tokens: usize,
        device: String,
    },
    /// A step was taken.
    Step(LmStep),
    /// The loss of windows that are kept from training.
    Tested {
        /// Steps taken so far.
        step: u64,
        windows: usize,
        loss: f64,
    },
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
pub struct LmStep {
    /// Number of the step, from 1.
    pub step: u64,
    /// Mean loss of the windows' tokens, before the step.
    pub loss: f64,
    pub lr: f32,
    /// Norm of all gradients before clipping.
    pub norm: f64,
    /// Seconds of training so far, over all sittings.
    pub seconds: f64,
}
