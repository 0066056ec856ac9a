//! The settings of a run.

use serde::{Deserialize, Serialize};

use super::method::{self, Method};
use super::setting::Setting;
use super::setting_error::{SettingError, SettingProblem};
use crate::engine::DType;
use crate::memory::peft::MAX_ROWS;
use crate::memory::{LoraConfig, Rows};
use crate::model::ModelError;
use crate::model::config::ModelConfig;
use crate::model::model_file::Model;
use crate::model::train::{Optimizer, OptimizerKind};
use crate::model::transformer::Recompute;

/// Which chunks get the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allocate {
    /// Steps in proportion to the softmax of the utilities.
    Utility,
    /// Steps by signed utility: the mean of `log P_full - log P_local` without its absolute value.
    Signed,
    /// The same number of steps to every chunk.
    Uniform,
    /// Each step to a chunk drawn at random, by the seed.
    Random,
    /// All steps beyond coverage to the chunks of highest utility, evenly.
    Topk,
    /// No chunks: each step draws from the whole document (qTTT).
    Whole,
}

impl Allocate {
    /// Whether the shares depend on utility, so that the local pass is needed.
    pub fn needs_utility(self) -> bool {
        matches!(self, Allocate::Utility | Allocate::Signed | Allocate::Topk)
    }
}

/// How utilities are scaled before the softmax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UtilityScale {
    /// Utilities as they are, in nats a token.
    Raw,
    /// Utilities brought to mean 0 and deviation 1 over the chunks.
    Zscore,
}

/// Where the document is cut into chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chunking {
    /// Every `chunk` tokens.
    Fixed,
    /// At headings and paragraphs, about `chunk` tokens each.
    Structure,
}

/// How gradients become steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerName {
    /// AdamW, with decay of the weights (Loshchilov and Hutter).
    Adamw,
    /// Plain gradient descent.
    Sgd,
}

/// What memory tokens start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrefixInit {
    /// The document's tokens at even distances.
    Spread,
    /// The document's first tokens.
    First,
    /// The document's tokens that were hardest to predict.
    Surprising,
    /// Any tokens of the vocabulary.
    Random,
    /// The mean of all tokens, and some noise.
    Mean,
    /// What the model was trained to start from (M_0); as `Spread` where it has none.
    Learned,
}

/// Every setting that changes what is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WriteSettings {
    /// What is written and how a step learns.
    pub method: Method,
    /// Gradient steps in all (K).
    pub budget: usize,
    /// Steps that every chunk gets first.
    pub k_min: usize,
    /// Whether every chunk gets `k_min` steps before the rest is shared.
    pub coverage: bool,
    /// Temperature of the softmax over utilities.
    pub tau: f64,
    /// How utilities are scaled before the softmax.
    pub scale: UtilityScale,
    /// The rule that shares the steps beyond coverage.
    pub allocate: Allocate,
    /// Where the document is cut into chunks.
    pub chunking: Chunking,
    /// Tokens of a chunk (S).
    pub chunk: usize,
    /// Tokens of local context that the local pass reads before each token, at the least (n).
    pub window: usize,
    /// Rank, scale and projections of LoRA matrices, for the methods that write them.
    pub lora: LoraConfig,
    /// Number of memory tokens of GradMem.
    pub prefix: usize,
    /// What memory tokens start from.
    pub init: PrefixInit,
    /// How gradients become steps.
    pub optimizer: OptimizerName,
    /// Learning rate.
    pub lr: f32,
    /// Weight decay of AdamW, as a factor of the learning rate.
    pub weight_decay: f32,
    /// Gradients are scaled down to this norm; 0 leaves them as they are.
    pub clip: f32,
    /// Spans of a step.
    pub batch: usize,
    /// Tokens of a span.
    pub span: usize,
    /// Seed of everything that is drawn: first matrices, spans, held-out tokens, random shares.
    pub seed: u64,
    /// Part of the tokens kept out of every step, to measure the loss on.
    pub held_out: f64,
    /// Whether the loss of every chunk is measured after the last step.
    pub evaluate: bool,
    /// Steps between checkpoints; 0 for none.
    pub checkpoint: usize,
    /// When activations are computed again instead of kept.
    pub recompute: RecomputeWhen,
    /// How the document's keys and values are kept beside a memory that is read after them.
    pub keep_rows: KeepRows,
}

/// When the way back computes each layer's activations again instead of keeping them. The memory
/// comes out the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecomputeWhen {
    /// Where they would not fit the memory that is free.
    #[default]
    Auto,
    /// Always; it takes less memory and more time.
    On,
    /// Never.
    Off,
}

impl RecomputeWhen {
    /// `None` where the free memory is to decide.
    pub fn asked(self) -> Option<Recompute> {
        match self {
            RecomputeWhen::Auto => None,
            RecomputeWhen::On => Some(Recompute::Layers),
            RecomputeWhen::Off => Some(Recompute::Nothing),
        }
    }
}

/// How keys and values are kept: a question is read after them, and making them takes as long as
/// reading the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeepRows {
    /// As [`KeepRows::Q8`], where the whole document's take at most [`KeepRows::AUTO_BYTES`].
    #[default]
    Auto,
    /// Values in 8 bits, with a scale for each 32 numbers, and keys in 16.
    Q8,
    /// In 16-bit floats.
    F16,
    /// Not at all.
    No,
}

impl KeepRows {
    /// The most bytes that [`KeepRows::Auto`] keeps.
    pub const AUTO_BYTES: u64 = 1 << 30;

    /// The type that a document of so many tokens is kept as, if it is.
    pub fn dtype(self, model: &ModelConfig, tokens: usize) -> Option<DType> {
        match self {
            KeepRows::Auto => {
                let bytes = Rows::bytes(model, tokens, DType::Q8_0);
                (bytes <= KeepRows::AUTO_BYTES).then_some(DType::Q8_0)
            }
            KeepRows::Q8 => Some(DType::Q8_0),
            KeepRows::F16 => Some(DType::F16),
            KeepRows::No => None,
        }
    }
}

impl Default for WriteSettings {
    fn default() -> Self {
        WriteSettings {
            method: Method::default(),
            budget: 32,
            k_min: 1,
            coverage: true,
            tau: 1.0,
            scale: UtilityScale::Raw,
            allocate: Allocate::Utility,
            chunking: Chunking::Fixed,
            chunk: 1024,
            window: 256,
            lora: LoraConfig::default(),
            prefix: 16,
            init: PrefixInit::Spread,
            optimizer: OptimizerName::Adamw,
            lr: 1e-3,
            weight_decay: 0.01,
            clip: 1.0,
            batch: 32,
            span: 8,
            seed: 0,
            held_out: 0.0,
            evaluate: true,
            checkpoint: 8,
            recompute: RecomputeWhen::Auto,
            keep_rows: KeepRows::Auto,
        }
    }
}

impl WriteSettings {
    /// The defaults of a method.
    pub fn for_method(method: Method) -> WriteSettings {
        let mut settings = WriteSettings {
            method,
            ..WriteSettings::default()
        };
        method.suit(&mut settings);
        settings
    }

    /// As [`WriteSettings::for_method`], on a model that may have been trained for the method.
    pub fn for_method_on(method: Method, model: &Model) -> Result<WriteSettings, ModelError> {
        let mut settings = WriteSettings::for_method(method);
        method.suit_model(&mut settings, model)?;
        Ok(settings)
    }

    /// The optimiser that these settings describe.
    pub fn optimizer(&self) -> Optimizer {
        let kind = match self.optimizer {
            OptimizerName::Sgd => OptimizerKind::Sgd,
            OptimizerName::Adamw => OptimizerKind::AdamW {
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-8,
                weight_decay: self.weight_decay,
            },
        };
        Optimizer {
            kind,
            lr: self.lr,
            clip: (self.clip > 0.0).then_some(self.clip),
        }
    }

    /// The first setting that makes no sense, and what would make sense.
    pub fn check(&self) -> Result<(), SettingError> {
        let counts = [
            (Setting::Chunk, self.chunk, 1..=MOST),
            (Setting::Window, self.window, 1..=MOST),
            (Setting::Batch, self.batch, 1..=MOST),
            (Setting::Span, self.span, 1..=MOST),
            (Setting::Rank, self.lora.rank, 1..=MAX_ROWS),
            (Setting::Prefix, self.prefix, 1..=MAX_ROWS),
            (Setting::Budget, self.budget, 0..=MOST),
        ];
        for (setting, value, range) in counts {
            setting.between(value, range)?;
        }
        Setting::Lr.at_least(self.lr.into(), 0.0)?;
        Setting::Tau.at_least(self.tau, 0.0)?;
        let given = self.lora.alpha;
        if self.method.uses(Setting::Alpha) && !(given.is_finite() && given > 0.0) {
            return Err(Setting::Alpha.wrong(SettingProblem::NotAboveZero { given }));
        }
        Setting::WeightDecay.at_least(self.weight_decay.into(), 0.0)?;
        Setting::Clip.at_least(self.clip.into(), 0.0)?;
        let (given, least, most) = (self.held_out, 0.0, 0.9);
        if !(least..=most).contains(&given) {
            return Err(Setting::HeldOut.wrong(SettingProblem::Outside { given, least, most }));
        }
        if self.method.uses(Setting::Targets) && self.lora.targets.is_empty() {
            return Err(Setting::Targets.wrong(SettingProblem::NoProjection));
        }
        if !self.method.reads_document() && self.allocate == Allocate::Whole {
            let reading = method::all().into_iter().find(|m| m.reads_document());
            return Err(Setting::Allocate.wrong(SettingProblem::Needs {
                value: "whole",
                other: Setting::Method,
                wanted: reading.map_or("", |method| method.name()),
            }));
        }
        Ok(())
    }
}

/// More than any sensible setting.
pub(crate) const MOST: usize = 1 << 20;
