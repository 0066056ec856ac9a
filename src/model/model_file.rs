//! A model as files hold it: weights, config, tokenizer and chat template.

use std::path::Path;

use crate::model::chat::ChatTemplate;
use crate::model::config::ModelConfig;
use crate::model::error::ModelError;
use crate::model::tokenizer::Tokenizer;
use crate::model::weights::WeightFile;

/// An opened model, not yet on a device.
pub struct Model {
    /// The file's or folder's own name.
    pub name: String,
    pub file: WeightFile,
    pub config: ModelConfig,
    pub tokenizer: Tokenizer,
    /// Absent for models that were not made to chat.
    pub chat: Option<ChatTemplate>,
}

impl Model {
    /// Opens a `.gguf` file or a model folder.
    pub fn open(path: &Path) -> Result<Model, ModelError> {
        let file = WeightFile::open(path)?;
        let config = file.config()?;
        let (tokenizer, chat) = match &file {
            WeightFile::Gguf(gguf) => {
                let tokenizer = Tokenizer::from_gguf(gguf)?;
                let chat = ChatTemplate::from_gguf(gguf, &tokenizer)?;
                (tokenizer, chat)
            }
            WeightFile::Safetensors(_) => {
                let tokenizer = Tokenizer::from_folder(path)?;
                let chat = ChatTemplate::from_folder(path, &tokenizer)?;
                (tokenizer, chat)
            }
        };
        let name = path
            .file_name()
            .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        Ok(Model {
            name,
            file,
            config,
            tokenizer,
            chat,
        })
    }
}
