//! The settings of a run by name, for errors that concern one and for methods that leave some out.

use std::fmt;

/// A setting of [`super::settings::WriteSettings`]. `Display` gives its name in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Setting {
    /// What is written and how a step learns.
    Method,
    /// Gradient steps in all (K).
    Budget,
    /// Steps that every chunk gets first.
    KMin,
    /// Whether every chunk gets steps first.
    Coverage,
    /// Temperature of the softmax over utilities.
    Tau,
    /// How utilities are scaled before the softmax.
    Scale,
    /// The rule that shares the steps beyond coverage.
    Allocate,
    /// Where the document is cut into chunks.
    Chunking,
    /// Tokens of a chunk (S).
    Chunk,
    /// Tokens of local context (n).
    Window,
    /// Rank of the LoRA matrices.
    Rank,
    /// Alpha of LoRA: the product of its matrices is scaled by alpha over the rank.
    Alpha,
    /// Projections that have LoRA matrices.
    Targets,
    /// Number of memory tokens of GradMem.
    Prefix,
    /// What memory tokens start from.
    Init,
    /// How gradients become steps.
    Optimizer,
    /// Learning rate.
    Lr,
    /// Weight decay of AdamW.
    WeightDecay,
    /// Norm that gradients are scaled down to.
    Clip,
    /// Spans of a step.
    Batch,
    /// Tokens of a span.
    Span,
    /// Seed of everything that is drawn.
    Seed,
    /// Part of the tokens kept out of every step, 0 to 0.9.
    HeldOut,
    /// Whether losses are measured after the last step.
    Evaluate,
    /// Steps between checkpoints.
    Checkpoint,
    /// When activations are computed again instead of kept.
    Recompute,
    /// How the document's keys and values are kept.
    KeepRows,
}

impl Setting {
    /// All of them.
    pub const ALL: [Setting; 27] = [
        Setting::Method,
        Setting::Budget,
        Setting::KMin,
        Setting::Coverage,
        Setting::Tau,
        Setting::Scale,
        Setting::Allocate,
        Setting::Chunking,
        Setting::Chunk,
        Setting::Window,
        Setting::Rank,
        Setting::Alpha,
        Setting::Targets,
        Setting::Prefix,
        Setting::Init,
        Setting::Optimizer,
        Setting::Lr,
        Setting::WeightDecay,
        Setting::Clip,
        Setting::Batch,
        Setting::Span,
        Setting::Seed,
        Setting::HeldOut,
        Setting::Evaluate,
        Setting::Checkpoint,
        Setting::Recompute,
        Setting::KeepRows,
    ];

    /// Its name in words.
    pub fn name(self) -> &'static str {
        match self {
            Setting::Method => "the method",
            Setting::Budget => "the budget",
            Setting::KMin => "the coverage k_min",
            Setting::Coverage => "the coverage",
            Setting::Tau => "the temperature tau",
            Setting::Scale => "the utility scale",
            Setting::Allocate => "the allocation",
            Setting::Chunking => "the chunking",
            Setting::Chunk => "the chunk length",
            Setting::Window => "the local window",
            Setting::Rank => "the LoRA rank",
            Setting::Alpha => "the LoRA alpha",
            Setting::Targets => "the list of projections",
            Setting::Prefix => "the number of memory tokens",
            Setting::Init => "the start of the memory tokens",
            Setting::Optimizer => "the optimiser",
            Setting::Lr => "the learning rate",
            Setting::WeightDecay => "the weight decay",
            Setting::Clip => "the clipping norm",
            Setting::Batch => "the number of spans in a step",
            Setting::Span => "the span length",
            Setting::Seed => "the seed",
            Setting::HeldOut => "the held-out part",
            Setting::Evaluate => "the measuring at the end",
            Setting::Checkpoint => "the number of steps between checkpoints",
            Setting::Recompute => "the recomputing",
            Setting::KeepRows => "the keeping of keys and values",
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
