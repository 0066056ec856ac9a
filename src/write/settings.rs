//! The settings of a run.

use serde::{Deserialize, Serialize};

use crate::memory::LoraConfig;

/// What is written, and what reading it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// LoRA beside the document's frozen keys and values (arXiv 2601.12906): reading needs both.
    Gdwm,
    /// LoRA alone: the document is dropped.
    Lora,
    /// Memory tokens (arXiv 2603.13875): the document is dropped.
    Gradmem,
}

/// Which chunks get the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allocate {
    Utility,
    /// By the mean of `log P_full - log P_local` without its absolute value.
    Signed,
    Uniform,
    Random,
    /// All steps beyond coverage to the chunks of highest utility, evenly.
    Topk,
    /// No chunks: each step draws from the whole document (qTTT).
    Whole,
}

/// How utilities are scaled before the softmax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UtilityScale {
    Raw,
    /// To mean 0 and deviation 1 over the chunks.
    Zscore,
}

/// Where the document is cut into chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chunking {
    /// Every `chunk` tokens.
    Fixed,
    /// At headings and paragraphs, about `chunk` tokens each.
    Structure,
}

/// Every setting that changes what is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WriteSettings {
    pub method: Method,
    /// Gradient steps in all (K).
    pub budget: usize,
    /// Steps that every chunk gets first.
    pub k_min: usize,
    pub coverage: bool,
    /// Temperature of the softmax over utilities.
    pub tau: f64,
    pub scale: UtilityScale,
    pub allocate: Allocate,
    pub chunking: Chunking,
    /// Tokens of a chunk (S).
    pub chunk: usize,
    /// Tokens of local context (n).
    pub window: usize,
    /// Part of the blocks that the local pass reads; 1 reads all.
    pub utility_sample: f64,
    pub lora: LoraConfig,
    /// Memory tokens of GradMem.
    pub prefix: usize,
    pub lr: f32,
    pub weight_decay: f32,
    /// Gradients are scaled down to this norm; 0 leaves them as they are.
    pub clip: f32,
    /// Spans of a step.
    pub batch: usize,
    /// Tokens of a span.
    pub span: usize,
    pub seed: u64,
    /// Part of the tokens kept out of every step, to measure the loss on.
    pub held_out: f64,
    /// Steps between checkpoints; 0 for none.
    pub checkpoint: usize,
}

impl Default for WriteSettings {
    fn default() -> Self {
        WriteSettings {
            method: Method::Gdwm,
            budget: 32,
            k_min: 1,
            coverage: true,
            tau: 1.0,
            scale: UtilityScale::Raw,
            allocate: Allocate::Utility,
            chunking: Chunking::Fixed,
            chunk: 1024,
            window: 256,
            utility_sample: 1.0,
            lora: LoraConfig::default(),
            prefix: 16,
            lr: 1e-4,
            weight_decay: 0.01,
            clip: 1.0,
            batch: 32,
            span: 8,
            seed: 0,
            held_out: 0.0,
            checkpoint: 8,
        }
    }
}
