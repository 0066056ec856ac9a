//! The whole of Inscribe in a few calls: a model opened, a document written, a memory asked.

#![warn(missing_docs)]

mod ask;
mod error;
mod open;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::CancelToken;
use crate::memory::fingerprint;
use crate::memory::store::StoredModel;
use crate::model::hub::ModelCache;
use crate::model::loaded::Loaded;
use crate::write::document::Document;
use crate::write::settings::WriteSettings;

pub use ask::{Asking, Remembered};
pub use error::Error;
pub use open::{OpenEvent, Opening};
pub use write::{Outcome, Watcher, Writing};

/// A model on a device, ready to write documents into memories and to open them. Clones share it.
#[derive(Clone)]
pub struct Inscriber {
    loaded: Loaded,
    fingerprint: Arc<str>,
    cancel: CancelToken,
}

impl Inscriber {
    /// Opens a model on the best device: a known name, a `.gguf` file, a model folder or a hub id.
    /// A model that is not here yet is fetched. [`Inscriber::opening`] does it with a choice of
    /// device, progress and a way to stop it.
    pub fn open(model: &str) -> Result<Inscriber, Error> {
        Inscriber::opening(model).run(&mut |_| {})
    }

    /// Prepares the opening of a model; [`Opening::run`] opens it.
    pub fn opening(model: &str) -> Opening {
        Opening::new(model)
    }

    /// Takes a model that is on a device already.
    pub fn of(loaded: Loaded) -> Result<Inscriber, Error> {
        let fingerprint = fingerprint(&loaded.model.file)?.into();
        Ok(Inscriber {
            loaded,
            fingerprint,
            cancel: CancelToken::new(),
        })
    }

    /// Stops whatever this value does once `cancel` is cancelled; a run keeps what it has learned.
    pub fn stopped_by(mut self, cancel: &CancelToken) -> Inscriber {
        self.cancel = cancel.clone();
        self
    }

    /// The token that stops the work of this value and of all that it opens.
    pub fn cancel(&self) -> &CancelToken {
        &self.cancel
    }

    /// The model and its device.
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// The fingerprint that distinguishes this model from others, in hexadecimal.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Where the model is, if it is not one that is kept in the cache, where it is found by its name.
    fn own_path(&self) -> Option<PathBuf> {
        let path = self.loaded.model.file.path().canonicalize().ok()?;
        let cache = ModelCache::open().ok();
        let root = cache.and_then(|cache| cache.root().canonicalize().ok());
        (!root.is_some_and(|root| path.starts_with(root))).then_some(path)
    }

    /// What a memory records of the model.
    pub fn stored_model(&self) -> StoredModel {
        let model = &self.loaded.model;
        StoredModel::new(&model.name, &self.fingerprint, &model.config)
    }

    /// Prepares a run that writes `document` into a memory; [`Writing::run`] starts it.
    pub fn write<'a>(&'a self, document: &'a Document, settings: WriteSettings) -> Writing<'a> {
        Writing::new(self, document, settings)
    }

    /// Opens a memory that this model was written for.
    pub fn remembered(&self, folder: impl AsRef<Path>) -> Result<Remembered, Error> {
        Remembered::open(self, folder.as_ref())
    }
}
