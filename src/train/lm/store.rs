//! The folder of a run: a model that other programs load, and what the run goes on from.

use std::path::Path;

use serde_json::json;

use super::{LmEvent, LmKeeper, LmProgress, LmSettings, LmTrainer};
use crate::model::tokenizer::TokenizerFiles;
use crate::train::error::TrainError;
use crate::train::store::{RunFolder, Stopped};

/// What a run of this kind is said to have been.
const KIND: &str = "on texts";

/// The folder of a run.
pub struct LmFolder(RunFolder);

impl LmFolder {
    /// A new run's folder, with the tokenizer that its model reads by. Refuses one that holds
    /// anything.
    pub fn create(folder: &Path, tokenizer: &TokenizerFiles) -> Result<LmFolder, TrainError> {
        let own = RunFolder::create(folder)?;
        for (name, bytes) in &tokenizer.files {
            own.keep_file(name, bytes)?;
        }
        Ok(LmFolder(own))
    }

    /// The folder of a run that was stopped, and what it goes on from. Its tokenizer is the one
    /// that lies there.
    pub fn resume(
        folder: &Path,
    ) -> Result<(LmFolder, Stopped<LmSettings, LmProgress>), TrainError> {
        let (own, stopped) = RunFolder::resume_kind(KIND, folder)?;
        Ok((LmFolder(own), stopped))
    }
}

impl LmKeeper for LmFolder {
    fn event(&mut self, event: &LmEvent) -> Result<(), TrainError> {
        self.0.append(event)
    }

    fn checkpoint(&mut self, trainer: &LmTrainer) -> Result<(), TrainError> {
        let state = trainer.net.state()?;
        let (settings, progress) = (&trainer.settings, &trainer.progress);
        self.0.keep_state(KIND, settings, progress, &state)?;
        let mut config = trainer.net.config.to_json();
        for (name, id) in ["bos_token_id", "eos_token_id"]
            .into_iter()
            .zip(trainer.ends)
        {
            config.insert(name.to_owned(), json!(id));
        }
        self.0.keep_weights(&trainer.net, &state.params, config)
    }
}
