//! The settings of a run by name, for errors that concern one and for methods that leave some out.

use std::fmt;

/// A setting of [`super::settings::WriteSettings`]. `Display` gives its name in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Setting {
    Method,
    Budget,
    KMin,
    Coverage,
    Tau,
    Scale,
    Allocate,
    Chunking,
    Chunk,
    Window,
    Rank,
    Alpha,
    Targets,
    Prefix,
    Init,
    Optimizer,
    Lr,
    WeightDecay,
    Clip,
    Batch,
    Span,
    Seed,
    HeldOut,
    Evaluate,
    Checkpoint,
    Recompute,
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
