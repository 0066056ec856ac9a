//! What can go wrong while a model is trained.

use std::path::Path;

use thiserror::Error;

use crate::memory::MemoryError;
use crate::model::error::ModelError;

/// An error of training. Each is one line that says what to do.
#[derive(Debug, Error)]
pub enum TrainError {
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A file of the run cannot be kept.
    #[error(transparent)]
    Keep(#[from] MemoryError),
    /// A file of the run is damaged or not what it should be.
    #[error("{path}: {detail}")]
    File { path: String, detail: String },
    #[error(
        "{path}: holds something already; go on with the run that stands there, or choose another folder"
    )]
    Taken { path: String },
    #[error(
        "step {step} gave losses that are no numbers; the run as it was before is kept: go on from it with a lower rate"
    )]
    NotANumber { step: u64 },
    #[error("{setting}: {detail}")]
    Setting {
        setting: &'static str,
        detail: String,
    },
}

impl TrainError {
    pub(super) fn file(path: &Path, detail: impl Into<String>) -> TrainError {
        TrainError::File {
            path: path.display().to_string(),
            detail: detail.into(),
        }
    }

    pub(super) fn setting(setting: &'static str, detail: impl Into<String>) -> TrainError {
        TrainError::Setting {
            setting,
            detail: detail.into(),
        }
    }
}
