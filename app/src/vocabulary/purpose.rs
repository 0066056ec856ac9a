//! Why the window asks for a path on disk.

use inscribe::write::figure::FigureKind;

/// Why a path is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    OpenDocument,
    OpenMemory,
    ModelFile,
    /// The folder of the next write's memory.
    WriteTo,
    SaveMemoryAs,
    Export(ExportFormat),
    Figure(FigureKind),
    Events {
        csv: bool,
    },
    /// The run to play: an events file or a memory's folder.
    ReplayRun,
    CompareRun(Side),
    /// The folder of a new training run.
    TrainInto,
    /// The folder of a training run that was stopped.
    GoOnTraining,
}

impl Purpose {
    /// Whether the path concerns the open document and no other.
    pub fn is_of_the_document(self) -> bool {
        match self {
            Purpose::WriteTo
            | Purpose::SaveMemoryAs
            | Purpose::Export(_)
            | Purpose::Figure(_)
            | Purpose::Events { .. } => true,
            Purpose::OpenDocument
            | Purpose::OpenMemory
            | Purpose::ModelFile
            | Purpose::ReplayRun
            | Purpose::CompareRun(_)
            | Purpose::TrainInto
            | Purpose::GoOnTraining => false,
        }
    }
}

/// File formats that a memory is exported in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    Peft,
    Gguf,
}

/// One of the two runs on the comparing screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    A,
    B,
}

impl Side {
    pub fn name(self) -> &'static str {
        match self {
            Side::A => "A",
            Side::B => "B",
        }
    }
}
