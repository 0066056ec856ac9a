//! What went wrong, of whatever layer it is.

use std::io;
use std::path::Path;

use inscribe::advice::Advice;
use inscribe::engine::EngineError;
use inscribe::memory::MemoryError;
use inscribe::model::ModelError;
use inscribe::model::hub::PullError;
use inscribe::model::locate::LocateError;
use inscribe::train::error::TrainError;
use inscribe::write::document::DocumentError;
use inscribe::write::error::WriteError;
use inscribe::write::figure::FigureError;
use inscribe::write::record::RunError;

/// What a piece of work failed with.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error(transparent)]
    Pull(#[from] PullError),
    #[error(transparent)]
    Locate(#[from] LocateError),
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error(transparent)]
    Figure(#[from] FigureError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A file could not be written.
    #[error("{path}: {source}")]
    File { path: String, source: io::Error },
    #[error("{0}")]
    Refused(String),
    /// The program itself failed.
    #[error("{0}")]
    Broken(String),
    #[error("cancelled")]
    Cancelled,
}

impl From<inscribe::Error> for Failure {
    fn from(error: inscribe::Error) -> Self {
        match error {
            inscribe::Error::Locate(error) => error.into(),
            inscribe::Error::Pull(error) => error.into(),
            inscribe::Error::Engine(error) => error.into(),
            inscribe::Error::Model(error) => error.into(),
            inscribe::Error::Document(error) => error.into(),
            inscribe::Error::Memory(error) => error.into(),
            inscribe::Error::Write(error) => error.into(),
            error => Failure::Refused(error.to_string()),
        }
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Failure::Write(error.into())
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Failure::Write(error.into())
    }
}

impl Failure {
    pub fn file(path: &Path, source: io::Error) -> Failure {
        let path = path.display().to_string();
        Failure::File { path, source }
    }

    /// Whether the person asked for the work to end.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Failure::Write(error) => error.is_cancelled(),
            Failure::Pull(error) => matches!(error, PullError::Cancelled),
            Failure::Train(_) => matches!(self.engine(), Some(EngineError::Cancelled)),
            Failure::Cancelled => true,
            _ => false,
        }
    }

    /// Whether what is on the device is lost.
    pub fn needs_a_new_device(&self) -> bool {
        matches!(
            self.engine(),
            Some(EngineError::DeviceLost { .. } | EngineError::Gpu { .. })
        ) || matches!(self, Failure::Broken(_))
    }

    pub(super) fn engine(&self) -> Option<&EngineError> {
        let model = match self {
            Failure::Write(WriteError::Model(error)) => error,
            Failure::Memory(MemoryError::Model(error)) => error,
            Failure::Train(TrainError::Model(error)) => error,
            _ => return None,
        };
        match model {
            ModelError::Engine(error) => Some(error),
            _ => None,
        }
    }

    /// The way out that the library knows.
    pub(super) fn advice(&self) -> Option<Advice> {
        match self {
            Failure::Write(error) => error.advice(),
            Failure::Memory(error) | Failure::Train(TrainError::Keep(error)) => error.advice(),
            Failure::Pull(error) => error.advice(),
            Failure::Locate(error) => error.advice(),
            Failure::Document(error) => error.advice(),
            Failure::Figure(_)
            | Failure::Run(_)
            | Failure::Train(_)
            | Failure::File { .. }
            | Failure::Refused(_)
            | Failure::Broken(_)
            | Failure::Cancelled => None,
        }
    }

    /// The failure of the file system beneath, if that is what it was.
    pub(super) fn io(&self) -> Option<&io::Error> {
        match self {
            Failure::File { source, .. } => Some(source),
            Failure::Memory(MemoryError::Io { source, .. })
            | Failure::Train(TrainError::Keep(MemoryError::Io { source, .. })) => Some(source),
            Failure::Pull(PullError::Io { source, .. }) => Some(source),
            Failure::Write(WriteError::Keep(error)) => match error.downcast_ref::<MemoryError>() {
                Some(MemoryError::Io { source, .. }) => Some(source),
                _ => None,
            },
            _ => None,
        }
    }
}
