//! Memory tokens: embeddings that come before a question in place of the document (GradMem, arXiv
//! 2603.13875).

use std::any::Any;

use super::error::MemoryError;
use super::kind::{Content, Folder, Kind, Loader};
use super::lora::are_numbers;
use super::peft;
use crate::model::ModelError;
use crate::model::config::ModelConfig;
use crate::model::session::Session;

/// Embeddings of memory tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Prefix {
    /// Number of memory tokens.
    pub rows: usize,
    pub hidden: usize,
    /// The embeddings, `rows x hidden`, row by row.
    pub values: Vec<f32>,
}

impl Kind for Prefix {
    fn kind(&self) -> &'static str {
        LOADER.kind
    }

    fn fault(&self, model: &ModelConfig) -> Option<String> {
        let fits = self.rows > 0
            && self.hidden == model.hidden
            && self.rows.checked_mul(self.hidden) == Some(self.values.len());
        if !fits {
            return Some("the memory tokens are of another model's size".into());
        }
        (!are_numbers(&self.values)).then(|| "the memory tokens are not numbers".into())
    }

    fn save(&self, folder: &mut Folder<'_>, model: &ModelConfig) -> Result<(), MemoryError> {
        peft::save_prefix(folder, self, model)
    }

    fn enter(&self, session: &mut Session) -> Result<(), ModelError> {
        session.prefill_embeddings(&self.values)
    }

    fn positions(&self) -> usize {
        self.rows
    }

    fn equals(&self, other: &dyn Kind) -> bool {
        (other as &dyn Any).downcast_ref() == Some(self)
    }
}

/// Finds memory tokens as PEFT keeps them.
pub const LOADER: Loader = Loader {
    kind: "prefix",
    files: &peft::FILES,
    derived: false,
    load: |folder, model| peft::load_prefix(folder, model).map(Content::new),
};
