//! The settings of a run by name, for errors that concern one and for methods that leave some out.

/// A setting of [`super::settings::WriteSettings`].
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
