//! A model on a device.

use std::sync::Arc;

use crate::engine::{Device, EngineError};
use crate::model::config::ModelConfig;
use crate::model::error::ModelError;
use crate::model::model_file::Model;
use crate::model::transformer::Transformer;

/// A model on a device, ready to read. Clones share it.
#[derive(Clone)]
pub struct Loaded {
    pub model: Arc<Model>,
    pub device: Device,
    pub transformer: Transformer,
}

impl Loaded {
    /// Puts a model's weights on a device. `progress` is called with the bytes done; an error from
    /// it ends the loading.
    pub fn new(
        model: Model,
        device: Device,
        progress: &mut dyn FnMut(u64) -> Result<(), EngineError>,
    ) -> Result<Loaded, ModelError> {
        let config = model.config.clone();
        let transformer = Transformer::load(&device, &model.file, config, progress)?;
        Ok(Loaded {
            model: Arc::new(model),
            device,
            transformer,
        })
    }

    pub fn config(&self) -> &ModelConfig {
        &self.model.config
    }
}
