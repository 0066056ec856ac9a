//! What a training run is asked for.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::config::ModelConfig;
use crate::model::draws::{generator, normal};
use crate::model::flat::FlatLayout;
use crate::model::shapes;

use super::base::Base;
use super::meta::Inner;
use super::net::names;

/// Deviation of the weights of a new model, and of its memory (as transformers draws them).
pub(super) const SPREAD: f32 = 0.02;
/// Streams of a seed: what a net starts from, and what tests are drawn from. Steps take their own
/// numbers.
pub(super) const START: u64 = 1 << 62;
pub(super) const TESTS: u64 = 1 << 61;

/// A training run from its first step to its last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainSettings {
    /// Name of the task.
    pub task: String,
    pub net: NetShape,
    pub writer: Writer,
    pub inner: Inner,
    pub stages: Vec<Stage>,
    /// Running share of right answers at which a stage ends.
    pub advance: f64,
    /// The one at which the last stage ends, and the run.
    pub goal: f64,
    /// Contexts of a step.
    pub batch: usize,
    /// Questions about each.
    pub questions: usize,
    pub lr: f32,
    /// Steps over which the rate rises.
    pub warmup: u64,
    pub schedule: Schedule,
    /// Global norm that gradients are scaled down to.
    pub clip: f32,
    pub seed: u64,
    /// Steps to take, if their number is given.
    pub steps: Option<u64>,
    /// The model that stays as it is; without one, a model is trained from nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// What the task is made of, where that is files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
}

/// Files that a run learns from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    pub paths: Vec<PathBuf>,
    /// SHA-256 of the tokens that were read from there, in hexadecimal.
    pub sha256: String,
}

/// A model that is trained from nothing, or the sizes of the one that stays as it is, and what is
/// trained for its memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetShape {
    pub layers: usize,
    pub hidden: usize,
    pub heads: usize,
    pub ffn: usize,
    /// Memory rows.
    pub memory: usize,
    /// Whether a linear map stands between memory and model.
    pub projection: bool,
    /// Whether writing has a head of its own.
    pub write_head: bool,
    /// Control rows before and after the memory.
    pub control: usize,
    /// Whether the rate of writing is learned.
    pub learned_rate: bool,
}

/// How a context is written into memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Writer {
    /// By gradient steps on the memory.
    #[default]
    Gradmem,
    /// By forward passes: the baseline.
    Rmt,
}

/// A difficulty, and how many steps writing takes at it (passes, for the baseline).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    pub level: usize,
    pub inner_steps: usize,
}

/// How the rate goes on after its rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    #[default]
    Constant,
    /// Down to a tenth at the last step, along a cosine.
    Cosine,
}

impl Default for NetShape {
    fn default() -> Self {
        NetShape {
            layers: 4,
            hidden: 128,
            heads: 4,
            ffn: 512,
            memory: 8,
            projection: false,
            write_head: false,
            control: 0,
            learned_rate: false,
        }
    }
}

impl Default for TrainSettings {
    fn default() -> Self {
        TrainSettings {
            task: "kv".to_owned(),
            net: NetShape::default(),
            writer: Writer::default(),
            inner: Inner::default(),
            stages: doubling(8, 2),
            advance: 0.9,
            goal: 0.99,
            batch: 16,
            questions: 8,
            lr: 5e-4,
            warmup: 300,
            schedule: Schedule::Constant,
            clip: 1.0,
            seed: 1,
            steps: None,
            base: None,
            data: None,
        }
    }
}

/// Stages of 4, 8, 16, … up to `level`.
pub fn doubling(level: usize, inner_steps: usize) -> Vec<Stage> {
    let below = std::iter::successors(Some(4), |level| Some(level * 2));
    let levels = below.take_while(|below| *below < level).chain([level]);
    levels.map(|level| Stage { level, inner_steps }).collect()
}

impl NetShape {
    /// The model, for so many token ids.
    pub fn config(&self, vocab: usize) -> ModelConfig {
        shapes::llama(vocab, self.hidden, self.layers, self.heads, self.ffn)
    }

    /// Where everything that is trained lies.
    pub fn layout(&self, config: &ModelConfig) -> FlatLayout {
        let mut layout = FlatLayout::of_model(config);
        self.push_beside(&mut layout, config);
        layout
    }

    /// Adds what is trained beside the model's own weights.
    pub(super) fn push_beside(&self, layout: &mut FlatLayout, config: &ModelConfig) {
        let hidden = config.hidden;
        layout.push(names::MEMORY, self.memory, hidden);
        if self.projection {
            layout.push(names::PROJECTION, hidden, hidden);
            layout.push(names::PROJECTION_BIAS, 1, hidden);
        }
        if self.write_head {
            layout.push(names::WRITE_HEAD, config.vocab, hidden);
        }
        if self.control > 0 {
            for name in names::AROUND.into_iter().flatten() {
                layout.push(name, self.control, hidden);
            }
        }
        if self.learned_rate {
            layout.push(names::LOG_ALPHA, 1, 1);
        }
    }

    /// What a net starts from: the projection as the identity, the head for writing as a copy of
    /// the model's own.
    pub fn initial(&self, layout: &FlatLayout, inner: &Inner, seed: u64) -> Vec<f32> {
        let mut random = generator(seed, START);
        let mut draw = || normal(&mut random);
        let mut flat = layout.initial(SPREAD, &mut draw);
        let copied = layout.output().map(|output| output.numbers(&flat).to_vec());
        for entry in &layout.entries {
            let own = &mut flat[entry.range.clone()];
            match entry.name.as_str() {
                names::PROJECTION => own
                    .iter_mut()
                    .step_by(entry.cols + 1)
                    .for_each(|diagonal| *diagonal = 1.0),
                names::WRITE_HEAD => {
                    if let Some(copied) = &copied {
                        own.copy_from_slice(copied);
                    }
                }
                names::LOG_ALPHA => own.fill(inner.alpha.ln()),
                names::MEMORY => own.iter_mut().for_each(|v| *v = SPREAD * draw()),
                name if names::AROUND.iter().flatten().any(|known| *known == name) => {
                    own.iter_mut().for_each(|v| *v = SPREAD * draw());
                }
                _ => {}
            }
        }
        flat
    }
}

impl Schedule {
    /// The part of the highest rate that a step takes, which counts from 0: `warmup` steps of rise,
    /// then what the schedule says of `steps` in all.
    pub fn factor(self, step: u64, warmup: u64, steps: Option<u64>) -> f32 {
        let rise = (step + 1) as f32 / warmup.max(1) as f32;
        if rise < 1.0 {
            return rise;
        }
        match (self, steps) {
            (Schedule::Cosine, Some(steps)) if steps > warmup => {
                let part = (step - warmup.min(step)) as f32 / (steps - warmup) as f32;
                let turn = (std::f32::consts::PI * part.min(1.0)).cos();
                0.55 + 0.45 * turn
            }
            _ => 1.0,
        }
    }
}

impl TrainSettings {
    /// The rate of a step, which counts from 0.
    pub fn rate(&self, step: u64) -> f32 {
        self.lr * self.schedule.factor(step, self.warmup, self.steps)
    }

    /// How writing goes at a stage.
    pub fn inner_at(&self, stage: &Stage) -> Inner {
        Inner {
            steps: stage.inner_steps,
            ..self.inner
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_and_fall() {
        let mut settings = TrainSettings {
            lr: 1.0,
            warmup: 10,
            steps: Some(110),
            ..TrainSettings::default()
        };
        assert!((settings.rate(0) - 0.1).abs() < 1e-6);
        assert_eq!(settings.rate(9), 1.0);
        assert_eq!(settings.rate(5000), 1.0);
        settings.schedule = Schedule::Cosine;
        assert!((settings.rate(60) - 0.55).abs() < 1e-6);
        assert!((settings.rate(110) - 0.1).abs() < 1e-6);
    }

    #[test]
    fn stages_double_up_to_the_level() {
        let levels =
            |level| -> Vec<usize> { doubling(level, 2).iter().map(|stage| stage.level).collect() };
        assert_eq!(levels(4), [4]);
        assert_eq!(levels(32), [4, 8, 16, 32]);
        assert_eq!(levels(96), [4, 8, 16, 32, 64, 96]);
        assert_eq!(levels(1), [1]);
    }
}
