//! Methods: what a run writes, how a step learns, and what reading the memory needs.
//!
//! A method is a module that implements [`WriteMethod`], and a line in [`OWN`]; another program
//! adds its own with [`add`]. Everything else asks the method.

mod batches;
mod gdwm;
mod gradmem;
mod lora;

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::RwLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::WriteError;
use super::learner::Segment;
use super::setting::Setting;
use super::settings::WriteSettings;
use crate::memory::Content;
use crate::model::ModelError;
use crate::model::config::ModelConfig;
use crate::model::loaded::Loaded;
use crate::model::model_file::Model;
use crate::model::train::{Batch, Trained};

pub use batches::Text;
pub(super) use gdwm::EVALUATION_ROWS;

/// A way of writing a document into a memory.
pub trait WriteMethod: Send + Sync {
    /// Its name in settings, files and options.
    fn name(&self) -> &'static str;

    /// Its name for people.
    fn title(&self) -> &'static str;

    /// What it writes and how that is read, in one sentence.
    fn explanation(&self) -> &'static str;

    /// What its memory is, as a part of a sentence.
    fn memory_words(&self) -> &'static str;

    /// Changes the common defaults to what suits it.
    fn suit(&self, _settings: &mut WriteSettings) {}

    /// Changes the defaults to what suits it on a model, such as one that was trained for it.
    fn suit_model(&self, _settings: &mut WriteSettings, _model: &Model) -> Result<(), ModelError> {
        Ok(())
    }

    /// Whether the document's keys and values come before a question. They then are constants
    /// during the steps, which learn from spans anywhere in the text. Otherwise questions are asked
    /// without the document, and each step reads the part of the text that it learns from.
    fn reads_document(&self) -> bool;

    /// Whether the method takes a setting into account.
    fn uses(&self, setting: Setting) -> bool;

    /// Positions of the model's context that the memory takes.
    fn positions(&self, _settings: &WriteSettings) -> usize {
        0
    }

    /// What its steps train on a model of these sizes, for planning before the model is loaded.
    fn trained(&self, config: &ModelConfig, settings: &WriteSettings) -> Trained;

    /// What a segment's steps start from.
    fn start(&self, from: &Start<'_>) -> Result<Started, WriteError>;

    /// What the step that is number `step` of a run learns from, within `range` of the text's
    /// tokens.
    fn batch(&self, text: &Text<'_>, step: usize, range: Range<usize>) -> Batch;

    /// Batches that score the last tokens of `range` as a reader of the memory sees them; the first
    /// token of a text is left out where nothing comes before it.
    fn evaluation(&self, text: &Text<'_>, range: Range<usize>) -> Vec<Batch>;
}

/// What a start may depend on.
pub struct Start<'a> {
    /// The model on its device.
    pub loaded: &'a Loaded,
    /// The part of the document to be learned.
    pub segment: &'a Segment,
    /// Settings of the run.
    pub settings: &'a WriteSettings,
    /// `-log P` of the segment's tokens, where it is known.
    pub surprisal: &'a [Option<f32>],
}

/// What steps start from, and what becomes of it.
pub struct Started {
    /// What steps train: LoRA matrices, or embeddings before the text.
    pub trained: Trained,
    /// The numbers that steps change, in the order of `trained`.
    pub initial: Vec<f32>,
    /// Turns such numbers into a memory.
    pub finish: Finish,
}

/// Makes a memory of the numbers that steps changed.
pub type Finish = Box<dyn Fn(Vec<f32>) -> Result<Content, WriteError> + Send>;

/// One of the methods that are known.
#[derive(Clone, Copy)]
pub struct Method(&'static dyn WriteMethod);

impl Method {
    /// LoRA beside the document's frozen keys and values (arXiv 2601.12906).
    pub const GDWM: Method = Method(&gdwm::Gdwm);
    /// LoRA alone.
    pub const LORA: Method = Method(&lora::Alone);
    /// Memory tokens (arXiv 2603.13875).
    pub const GRADMEM: Method = Method(&gradmem::MemoryTokens);

    /// The method of this name.
    pub fn named(name: &str) -> Option<Method> {
        all().into_iter().find(|method| method.name() == name)
    }
}

/// The methods of this crate, the default one first.
pub const OWN: [Method; 3] = [Method::GDWM, Method::LORA, Method::GRADMEM];

static ADDED: RwLock<Vec<Method>> = RwLock::new(Vec::new());

/// Adds a method, in place of one of its name that was added before. The names of this crate's own
/// methods stay theirs.
pub fn add(method: &'static dyn WriteMethod) -> Method {
    let method = Method(method);
    let mut added = ADDED.write().unwrap_or_else(|e| e.into_inner());
    added.retain(|known| *known != method);
    added.push(method);
    method
}

/// All methods that are known, the default one first.
pub fn all() -> Vec<Method> {
    let added = ADDED.read().unwrap_or_else(|e| e.into_inner());
    OWN.iter().chain(added.iter()).copied().collect()
}

impl Deref for Method {
    type Target = dyn WriteMethod;

    fn deref(&self) -> &Self::Target {
        self.0
    }
}

impl Default for Method {
    fn default() -> Method {
        Method::GDWM
    }
}

impl PartialEq for Method {
    fn eq(&self, other: &Method) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Method {}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Method, D::Error> {
        let name = String::deserialize(deserializer)?;
        Method::named(&name).ok_or_else(|| {
            let known: Vec<&str> = all().iter().map(|method| method.0.name()).collect();
            let known = known.join(", ");
            serde::de::Error::custom(format!("unknown method '{name}', expected one of {known}"))
        })
    }
}
